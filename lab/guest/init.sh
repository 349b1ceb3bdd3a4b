#!/bin/sh
# The first process of a lab guest. The kernel's command line says who it is, in weft.* words.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
for m in /modules/*.ko; do insmod "$m"; done

word() { tr ' ' '\n' </proc/cmdline | sed -n "s/^weft\.$1=//p"; }
list() { word "$1" | tr ',' ' '; }
card() { cat /sys/class/net/eth0/ifindex 2>/dev/null; }

# IPv6 is given, since nobody answers router solicitations; duplicate detection would only delay it. IPv4 comes by DHCP.
configure() {
  echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
  echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_ra
  ip link set eth0 up
  for a in $(list addr6); do ip addr add "$a" dev eth0; done
  for g in $(list gw6); do ip -6 route add default via "$g" dev eth0; done
}

# The card may be pulled and plugged again while the guest runs.
tend() {
  while :; do
    until now=$(card); do sleep 0.1; done
    configure
    [ "$(word dhcp)" = on ] && { udhcpc -i eth0 -f -t 5 -T 1 -A 1 -O mtu -O staticroutes -s /bin/dhcp-event & }
    while [ "$(card)" = "$now" ]; do sleep 1; done
    echo "the card was pulled"
    kill $!
  done
}

ip link set lo up
tend &
[ "$(word dhcp)" = on ] && until ip -4 addr show dev eth0 | grep -q 'inet '; do sleep 0.1; done

stty -F /dev/ttyS1 raw -echo
echo "weft guest $(word name) is up after $(cut -d' ' -f1 /proc/uptime) s"
while :; do
  weft-lab-probe -name "$(word name)" -listen "$(word listen)" -serial /dev/ttyS1 -parallel 8
  echo "weft-lab-probe ended with $?"
  sleep 1
done
