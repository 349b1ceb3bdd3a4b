// Package firewall holds the one meaning of policy: rules, tiers, and what they decide for a packet.
//
// Decide is the naive reference: short, slow and obviously right. Compile lowers rules to the entries that
// a match-action table can hold. The two share nothing but the Rule type, and tests hold them against each
// other. The package is pure and imports fabric and the standard library only.
package firewall
