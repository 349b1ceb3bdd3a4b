// Package audit answers questions about a declared topology: who can reach whom and by which rule, whether an assertion
// holds, what is wrong with the rules, and what a change gains and loses.
//
// It joins topology, controller/compile and firewall/reach, and depends on the files alone: it is pure, and its
// answers are in order. What it can't decide it says.
package audit
