// Package observe passes users' questions on to nodes, and the nodes' answers back.
//
// A Hub has the question streams of the nodes that are connected to this controller, and sees to it that no node gets more
// questions than it can work on, that callers take turns, and that a side that is gone, silent or too slow ends the answer
// rather than holding it. A Router finds the controller that a node is connected to, and asks many nodes at once.
//
// The package doesn't look into questions and answers: a new kind needs nothing here.
package observe
