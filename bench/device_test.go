package bench

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/weftfabric/weft/lab"
)

// deviceEnv makes the test's binary a WireGuard device and nothing else: the fabric's run in processes of their own, too.
const deviceEnv = "WEFT_BENCH_DEVICE"

func TestMain(m *testing.M) {
	if text := os.Getenv(deviceEnv); text != "" {
		if err := beDevice(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// rawDevice is a tun of golang.zx2c4.com/wireguard in the namespace of its process.
type rawDevice struct {
	Name   string
	MTU    int
	Config string // of its control socket
}

// beDevice runs a device until the process is ended.
func beDevice(text string) error {
	var raw rawDevice
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return err
	}
	t, err := tun.CreateTUN(raw.Name, raw.MTU)
	if err != nil {
		return err
	}
	d := device.NewDevice(t, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	if err := d.IpcSet(raw.Config); err != nil {
		return err
	}
	if err := d.Up(); err != nil {
		return err
	}
	<-d.Wait()
	return nil
}

// rawWireGuard puts a device of its own beside the fabric on two nodes, over the same underlay, with the defaults of Go's
// runtime, which serve it best.
func rawWireGuard(tb testing.TB, name string, r *lab.Record) *across {
	tb.Helper()
	const (
		port = 51999
		mtu  = 1440
	)
	var keys [2]wgtypes.Key
	for i := range keys {
		var err error
		if keys[i], err = wgtypes.GeneratePrivateKey(); err != nil {
			tb.Fatal(err)
		}
	}
	var ends [2]endpoint
	for i := range ends {
		other := 1 - i
		n, public := r.Nodes[i], keys[other].PublicKey()
		link := fmt.Sprintf("raw%d", i)
		ends[i] = endpoint{namespace: n.Namespace, address: fmt.Sprintf("10.254.0.%d", i+1)}
		text, err := json.Marshal(rawDevice{Name: link, MTU: mtu, Config: fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nendpoint=%s:%d\nallowed_ip=10.254.0.%d/32\n",
			hex.EncodeToString(keys[i][:]), port, hex.EncodeToString(public[:]), r.Nodes[other].VTEP, port, other+1)})
		if err != nil {
			tb.Fatal(err)
		}
		startDaemon(tb, daemonSpec{
			namespace: n.Namespace, dir: tb.TempDir(), args: []string{os.Args[0]},
			env: []string{deviceEnv + "=" + string(text)},
		})
		eventually(tb, "the device "+link, 10*time.Second, func() bool {
			_, err := tryRun("ip", "-n", n.Namespace, "link", "show", link)
			return err == nil
		})
		run(tb, "ip", "-n", n.Namespace, "addr", "add", ends[i].address+"/24", "dev", link)
		run(tb, "ip", "-n", n.Namespace, "link", "set", link, "up")
	}
	return &across{name: name, from: ends[0], to: ends[1]}
}
