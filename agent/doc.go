// Package agent makes a node equal to its plan: it plugs workloads into Open vSwitch, gives them addresses, and
// keeps the switch's flows equal to what the pipeline renders of plan and attachments.
//
// One goroutine, the loop, owns the state. Everything else sends it events: the controller's plan updates, the
// database's states, requests on the unix socket, results of jobs, timers. After each event the loop derives what
// should be, starts jobs for what differs, and wakes those that wait for a condition. The order of events never
// changes where it ends.
//
// What always holds: attachments live in the switch's database and nowhere else, so a restarted agent adopts them;
// nothing is deleted before a whole plan is known, be it from disk; a request is answered only after a barrier has
// confirmed its flows; and when the agent ends, the switch goes on forwarding.
package agent
