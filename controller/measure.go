package controller

import (
	"time"

	"github.com/weftfabric/weft/controller/api"
)

// Measurements are what a controller counts and measures, at one moment. What it says of the fabric, other controllers of the
// same etcd say too.
type Measurements struct {
	Name, Version string
	// Revision is the store's, and Planned the one that the plans stand for.
	Revision, Planned uint64
	Objects           int
	Nodes             api.NodeCounts
	FailedLinks       int // that are led around

	// Streams are the plan streams of nodes to this controller.
	Streams int
	// Changes are those that users asked this controller for, since its start.
	Changes api.ChangeCounts
	// Compiles are the steps of the store that it has compiled since its start, in Compiling, with ChangedPlans as the result.
	Compiles, ChangedPlans uint64
	Compiling              time.Duration

	// CAExpires is when the fabric's certificate authority does.
	CAExpires time.Time
	// Contact says that etcd answers, and Answered when a majority of it did so last.
	Contact  bool
	Answered time.Time
}

func measure(c api.Config) Measurements {
	view, work := c.Store.View(), c.Planner.Work()
	_, lost := c.Store.Contact()
	return Measurements{
		Name: c.Store.Self.Name, Version: c.Version, Revision: view.Revision, Planned: work.Revision, Objects: view.Intent.Len(),
		Nodes: c.CountNodes(), FailedLinks: len(view.Failed), Streams: work.Readers, Changes: c.Changes.Counts(),
		Compiles: work.Steps, ChangedPlans: work.Changed, Compiling: work.Took,
		CAExpires: c.CA.Certificate.NotAfter, Contact: lost == nil, Answered: c.Store.Answered(),
	}
}
