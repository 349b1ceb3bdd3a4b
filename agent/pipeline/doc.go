// Package pipeline turns a node's plan and its attachments into OpenFlow flows: the tables of
// docs/pipeline.md. It is pure: equal inputs give equal flows, whatever the order of their parts.
package pipeline
