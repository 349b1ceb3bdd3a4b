// Package overlay computes which nodes have tunnels with each other, and what each reaches over which.
//
// The links that there can be form a graph: any two nodes in a mesh, each node with each hub, nodes of a zone and all
// gateways, or what is listed. A way between two nodes is the cheapest path in that graph, failed links left out. A
// path costs first its number of tunnels, then the sum of a hash of each; so no two paths cost the same, and what
// follows holds without further care:
//
//   - The way back is the way there, reversed, and a part of a way is the way between its ends. So next hops by
//     destination alone lead along it, no two nodes disagree, and there are no loops. WireGuard needs that: it accepts a source
//     only from the tunnel through which it would answer.
//   - Pairs spread over redundant hubs and gateways by their hashes (rendezvous hashing). One that goes moves only the
//     pairs that used it, and one that comes moves only those that it suits best.
//
// Net keeps the graph while nodes come, go and fail, and says whose Share may have changed. The package is pure.
package overlay
