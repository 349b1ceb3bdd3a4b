package ovs

import (
	"slices"
	"strings"

	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
)

const databaseName = "Open_vSwitch"

// The rows hold the columns that the driver reads or writes (ovs-vswitchd.conf.db(5)); no others are monitored.
type (
	rootRow struct {
		UUID       string   `ovsdb:"_uuid"`
		Bridges    []string `ovsdb:"bridges"`
		OVSVersion *string  `ovsdb:"ovs_version"`
	}
	bridgeRow struct {
		UUID         string            `ovsdb:"_uuid"`
		Name         string            `ovsdb:"name"`
		DatapathType string            `ovsdb:"datapath_type"`
		DatapathID   *string           `ovsdb:"datapath_id"`
		FailMode     *string           `ovsdb:"fail_mode"`
		Protocols    []string          `ovsdb:"protocols"`
		OtherConfig  map[string]string `ovsdb:"other_config"`
		Ports        []string          `ovsdb:"ports"`
	}
	portRow struct {
		UUID       string   `ovsdb:"_uuid"`
		Name       string   `ovsdb:"name"`
		Interfaces []string `ovsdb:"interfaces"`
	}
	interfaceRow struct {
		UUID          string            `ovsdb:"_uuid"`
		Name          string            `ovsdb:"name"`
		Type          string            `ovsdb:"type"`
		OFPort        *int              `ovsdb:"ofport"`
		OFPortRequest *int              `ovsdb:"ofport_request"`
		Error         *string           `ovsdb:"error"`
		Options       map[string]string `ovsdb:"options"`
		ExternalIDs   map[string]string `ovsdb:"external_ids"`
	}
)

// databaseModel tells libovsdb which row belongs to which table.
func databaseModel() (model.ClientDBModel, error) {
	return model.NewClientDBModel(databaseName, map[string]model.Model{
		"Open_vSwitch": &rootRow{}, "Bridge": &bridgeRow{}, "Port": &portRow{}, "Interface": &interfaceRow{},
	})
}

// monitoredColumns names every column of the rows: without names the library asks for all that the schema has,
// statistics too, and then refuses what the rows don't hold.
func monitoredColumns() []client.MonitorOption {
	var (
		root rootRow
		b    bridgeRow
		p    portRow
		i    interfaceRow
	)
	return []client.MonitorOption{
		client.WithTable(&root, &root.Bridges, &root.OVSVersion),
		client.WithTable(&b, &b.Name, &b.DatapathType, &b.DatapathID, &b.FailMode, &b.Protocols, &b.OtherConfig, &b.Ports),
		client.WithTable(&p, &p.Name, &p.Interfaces),
		client.WithTable(&i, &i.Name, &i.Type, &i.OFPort, &i.OFPortRequest, &i.Error, &i.Options, &i.ExternalIDs),
	}
}

// rows is a copy of the monitored tables.
type rows struct {
	roots      []rootRow
	bridges    []bridgeRow
	ports      []portRow
	interfaces []interfaceRow
}

// bridge returns the row of the bridge of that name.
func (r rows) bridge(name string) (bridgeRow, bool) {
	for _, b := range r.bridges {
		if b.Name == name {
			return b, true
		}
	}
	return bridgeRow{}, false
}

// port returns the row of the port of that name, and the name of the bridge that it is part of.
func (r rows) port(name string) (p portRow, bridge string, ok bool) {
	i := slices.IndexFunc(r.ports, func(p portRow) bool { return p.Name == name })
	if i < 0 {
		return portRow{}, "", false
	}
	p = r.ports[i]
	for _, b := range r.bridges {
		if slices.Contains(b.Ports, p.UUID) {
			return p, b.Name, true
		}
	}
	return p, "", true
}

// interfaceNamed returns the row of the interface of that name.
func (r rows) interfaceNamed(name string) (interfaceRow, bool) {
	i := slices.IndexFunc(r.interfaces, func(f interfaceRow) bool { return f.Name == name })
	if i < 0 {
		return interfaceRow{}, false
	}
	return r.interfaces[i], true
}

// state is what the rows say about the bridge of that name.
func (r rows) state(bridge string) State {
	s := State{Connected: true}
	for _, root := range r.roots {
		s.Version = deref(root.OVSVersion)
	}
	b, ok := r.bridge(bridge)
	if !ok {
		return s
	}
	s.Bridge = Bridge{
		Name: b.Name, Datapath: DatapathType(b.DatapathType), DatapathID: deref(b.DatapathID),
		FailMode: deref(b.FailMode), Protocols: b.Protocols, OtherConfig: b.OtherConfig,
	}
	if s.Bridge.Datapath == "" {
		s.Bridge.Datapath = System // what an empty datapath_type means
	}
	mine := map[string]bool{}
	for _, p := range r.ports {
		if p.Name != bridge && slices.Contains(b.Ports, p.UUID) {
			for _, i := range p.Interfaces {
				mine[i] = true
			}
		}
	}
	for _, i := range r.interfaces {
		if mine[i.UUID] {
			s.Interfaces = append(s.Interfaces, i.value())
		}
	}
	slices.SortFunc(s.Interfaces, func(a, b Interface) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// value returns the row as the driver's readers see it. A number of -1 means that the device could not be opened.
func (i interfaceRow) value() Interface {
	v := Interface{Name: i.Name, Type: i.Type, Error: deref(i.Error), Options: i.Options, ExternalIDs: i.ExternalIDs}
	if i.OFPort != nil && *i.OFPort > 0 {
		v.OFPort = uint32(*i.OFPort)
	}
	if i.OFPortRequest != nil && *i.OFPortRequest > 0 {
		v.Requested = uint32(*i.OFPortRequest)
	}
	return v
}

// deref returns what an optional column holds, or the empty string.
func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
