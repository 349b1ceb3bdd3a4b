#!/bin/bash
# The first process of a machine with a kernel of its own: it runs labs whose packets the kernel forwards.
export PATH=/bin:/weft:/box
/bin/busybox mkdir -p /box
/bin/busybox --install -s /box
rm -f /box/ip /box/ping /box/nice
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mkdir -p /dev/net /run/netns
# tcpdump insists on becoming its own user.
printf '%s:x:0:0::/:/bin/sh\n' root tcpdump >/etc/passwd
for m in /modules/*.ko; do insmod "$m" 2>/dev/null || echo "not loaded: $m"; done
ip link set lo up
cd /source/lab
WEFT_REQUIRE_OVS=1 WEFT_DATAPATH=system WEFT_EMULATED=1 WEFT_BIN_DIR=/weft \
  lab.test -test.v -test.timeout 50m -test.run "$(cat /etc/tests)" </dev/null
echo "RESULT tests $?"
weft lab demo -f /source/examples/dual-stack --no-vms --datapath system --tries 2 --timeout 4s --parallel 16 --bin-dir /weft --state-dir /tmp/lab </dev/null
echo "RESULT demo $?"
poweroff -f
