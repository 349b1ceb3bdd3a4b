#!/bin/sh -e
# Runs libvirtd as a node's own: in the node's network namespace and a mount namespace of its own, with the node's
# Open vSwitch where ovs-vsctl looks for it. $1 is the switch's directory, $2 an empty one for everything of libvirt.
mount --make-rprivate /
mkdir -p "$2/run" "$2/lib" "$2/log" "$2/cache" "$2/etc/qemu" /run/openvswitch /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /etc/libvirt
mount --bind "$1" /run/openvswitch
mount --bind "$2/run" /run/libvirt
mount --bind "$2/lib" /var/lib/libvirt
mount --bind "$2/log" /var/log/libvirt
mount --bind "$2/cache" /var/cache/libvirt
mount --bind "$2/etc" /etc/libvirt
cat >/etc/libvirt/qemu.conf <<X
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
remember_owner = 0
X
# libvirt wants the users of its package, which may be unconfigured here.
cp /etc/passwd /etc/group "$2"
grep -q ^libvirt-qemu: "$2/passwd" || echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin' >>"$2/passwd"
for g in libvirt-qemu:x:64055: kvm:x:64056:; do grep -q "^${g%%:*}:" "$2/group" || echo "$g" >>"$2/group"; done
mount --bind "$2/passwd" /etc/passwd
mount --bind "$2/group" /etc/group
exec libvirtd -f /dev/null -p "$2/run/libvirtd.pid"
