// Package metrics says what Prometheus reads of an agent: names, meanings, and where in the agent's measurements each value is.
// It is a table and nothing else: the agent measures, package scrape answers. docs/metrics.md shows the table to operators, and a
// test holds the two together.
//
// A node tells of itself and of its own tunnels. Workloads, addresses and rules are no labels: their number has no bound,
// and names of tenants don't belong on an endpoint that asks nobody who they are.
package metrics
