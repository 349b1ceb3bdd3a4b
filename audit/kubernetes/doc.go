// Package kubernetes asks the questions of an audit about Kubernetes manifests: which connections NetworkPolicies and
// ClusterNetworkPolicies allow between workloads, and between them and addresses outside of the cluster.
//
// Load decodes manifests, policies strictly and everything else only as far as it matters here. NewWorld lowers them to
// the rules of package firewall, with the tiers that a fabric has: admin policies are platform rules, NetworkPolicies
// tenant rules, baseline policies baseline rules, and the posture is to allow. So Decide, the set engine and the flow
// compiler mean the same by them. The package is pure; its answers depend on the manifests alone and are in order.
package kubernetes
