#!/bin/sh
# What udhcpc runs when something happens to the lease.
case $1 in
deconfig)
  ip -4 addr flush dev "$interface"
  ;;
bound | renew)
  ip addr replace "$ip/$mask" dev "$interface"
  [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
  # Where classless routes are told, the router counts no more (RFC 3442).
  set -- ${staticroutes:-0.0.0.0/0 ${router%% *}}
  while [ $# -ge 2 ]; do
    ip route replace "$1" via "$2" dev "$interface"
    shift 2
  done
  for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
  echo "DHCP: $ip/$mask mtu $mtu routes ${staticroutes:-$router} dns $dns from $serverid"
  ;;
esac
