// Command weft-cni is the CNI plugin of weft; package cni does the work.
package main

import (
	"os"
	"time"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/weftfabric/weft/cni"
)

func main() {
	plugin := &cni.Plugin{Stdout: os.Stdout, Now: time.Now}
	skel.PluginMainFuncs(plugin.Funcs(), cni.Versions(), "weft-cni: attaches containers to weft networks through the weft-agent of the node")
}
