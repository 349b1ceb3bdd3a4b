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

# Addresses and gateways are given; duplicate detection would only delay them.
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_ra
ip link set lo up
ip link set eth0 mtu "$(word mtu)" up
for a in $(list addr); do ip addr add "$a" dev eth0; done
for g in $(list gw); do
  case $g in
  *:*) ip -6 route add default via "$g" dev eth0 ;;
  *) ip route add default via "$g" dev eth0 ;;
  esac
done

stty -F /dev/ttyS1 raw -echo
echo "weft guest $(word name) is up after $(cut -d' ' -f1 /proc/uptime) s"
while :; do
  weft-lab-probe -name "$(word name)" -listen "$(word listen)" -serial /dev/ttyS1 -parallel 8
  echo "weft-lab-probe ended with $?"
  sleep 1
done
