package metrics_test

import (
	"testing"
	"time"

	"github.com/weftfabric/weft/controller"
	"github.com/weftfabric/weft/controller/api"
	"github.com/weftfabric/weft/controller/metrics"
	"github.com/weftfabric/weft/scrape/scrapetest"
)

func TestText(t *testing.T) {
	m := controller.Measurements{
		Name: "c1", Version: "v1.2.3", Revision: 41, Planned: 40, Objects: 12,
		Nodes:       api.NodeCounts{Connected: 5, Disconnected: 1, Drained: 2, Behind: 3, Relayed: 4},
		FailedLinks: 1, Streams: 6, Changes: api.ChangeCounts{Made: 7, Refused: 8, Failed: 9},
		Compiles: 40, ChangedPlans: 120, Compiling: 1500 * time.Millisecond, CAExpires: time.Unix(2000, 0), Contact: true, Answered: time.Unix(1000, 0),
	}
	scrapetest.Golden(t, metrics.Table(), "testdata/whole.prom", scrapetest.Text(t, metrics.Table(), m))
}

func TestDocumented(t *testing.T) {
	scrapetest.Documented(t, metrics.Table(), "../../docs/metrics.md", "### The controller's")
}
