// Package cli is the weft command: what users type, what they see, and the exit codes that their scripts read.
//
// A command reads its input, makes one or a few calls, and prints. What is computed on the way (tables of
// objects, relations, pictures) is done by functions of values. Data goes to standard output; progress,
// warnings and errors go to standard error. Nothing here touches a switch, a namespace or the store: the
// controller and the agent do, and the commands ask them.
package cli
