// Package cni is the CNI plugin (CNI specification 1.1.0, and configurations of 1.0.0, 0.4.0 and 0.3.1):
// it turns ADD, DEL, CHECK and STATUS into one question each to the agent of the node, and the answer into a
// CNI result.
//
// The plugin keeps no state and touches no interface itself. ADD succeeds only after the agent reported that
// the switch confirmed the flows; when the agent's answer is lost or can't be used, the plugin asks it to
// undo the attachment. GC is refused: the agent doesn't know which network configuration made an attachment.
//
// The package imports fabric, wire/cniwire and the CNI skeleton, never the agent, so that the binary stays
// small and starts fast.
package cni
