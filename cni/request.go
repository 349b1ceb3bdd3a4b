package cni

import (
	"errors"
	"fmt"
	"maps"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/weftfabric/weft/fabric"
	"github.com/weftfabric/weft/wire/cniwire"
)

// NewAdd joins configuration and arguments of an ADD into the question to the agent. Arguments are stronger
// than the configuration, and an argument that names a Port puts the configuration's network aside.
func NewAdd(call *skel.CmdArgs) (cniwire.Add, Config, error) {
	conf, confErr := ParseConfig(call.StdinData)
	args, argsErr := ParseArgs(call.Args)
	errs := []error{confErr, argsErr}
	prev, prevErr := previous(conf)
	errs = append(errs, prevErr, checkChain(prev, call.IfName))

	add := cniwire.Add{
		Attachment: cniwire.Attachment{ContainerID: call.ContainerID, IfName: call.IfName},
		Netns:      call.Netns,
		Name:       args.Pod,
		Config:     conf.Name,
	}
	place, placeErr := placeOf(conf, args)
	add.Port, add.Network, add.Subnet = place.port, place.network, place.subnet
	errs = append(errs, placeErr)

	labels, labelErr := mergeLabels(conf, args)
	errs = append(errs, labelErr)
	if add.Port.IsZero() {
		add.Labels = labels
	}

	var macErr, addrErr error
	add.MAC, macErr = askedMAC(conf, args)
	add.Addresses, addrErr = askedAddresses(conf, args)
	return add, conf, errors.Join(append(errs, macErr, addrErr)...)
}

// place is where a container goes: a declared port, or a network and perhaps a subnet.
type place struct {
	port    fabric.PortRef
	network fabric.NetworkRef
	subnet  string
}

func placeOf(conf Config, args Args) (place, error) {
	tenant := first(args.Tenant, conf.Tenant)
	port, network, subnet := args.Port, args.Network, args.Subnet
	if port == "" && network == "" {
		port, network = conf.Port, conf.Network
		subnet = first(subnet, conf.Subnet)
	}
	var errs []error
	if tenant == "" {
		errs = append(errs, fmt.Errorf("the tenant is missing: set \"tenant\" in the configuration or WEFT_TENANT in CNI_ARGS"))
	}
	switch {
	case port == "" && network == "":
		errs = append(errs, fmt.Errorf("the network is missing: set \"network\" (or \"port\") in the configuration or WEFT_NETWORK (or WEFT_PORT) in CNI_ARGS"))
	case port != "" && subnet != "":
		errs = append(errs, fmt.Errorf("port %s is declared with its subnet: leave out WEFT_SUBNET", port))
	}
	if err := errors.Join(errs...); err != nil {
		return place{}, err
	}
	if port != "" {
		return place{port: fabric.PortRef{Tenant: tenant, Name: port}}, nil
	}
	return place{network: fabric.NetworkRef{Tenant: tenant, Name: network}, subnet: subnet}, nil
}

// mergeLabels joins the configuration's labels, those in args.cni.labels and those in CNI_ARGS; the later
// is stronger.
func mergeLabels(conf Config, args Args) (fabric.Labels, error) {
	labels := fabric.Labels{}
	maps.Copy(labels, conf.Labels)
	var errs []error
	for _, l := range conf.Args.CNI.Labels {
		if err := checkLabel(l.Key, l.Value); err != nil {
			errs = append(errs, fmt.Errorf("field \"args.cni.labels\": %w", err))
		}
		labels[l.Key] = l.Value
	}
	maps.Copy(labels, args.Labels)
	if len(labels) == 0 {
		return nil, errors.Join(errs...)
	}
	return labels, errors.Join(errs...)
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
