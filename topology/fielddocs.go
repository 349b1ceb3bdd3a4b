package topology

// fieldDoc says what a field means, to users, and what it may hold beyond its type.
type fieldDoc struct {
	text               string
	def                any
	enum               []string
	min, max           int // of numbers; max 0 means the type's own range
	minItems, maxItems int
	maxLength          int
}

// describeField returns what a kind ("Network") or a field ("NetworkSpec.subnets") means; the zero value
// for an unknown one, which a test rules out.
func describeField(name string) fieldDoc { return fieldDocs[name] }

// fieldDocs is read-only.
var fieldDocs = map[string]fieldDoc{
	"Fabric":         {text: "The settings of the whole fabric. At most one exists, named default."},
	"Client":         {text: "A machine that joins one network through WireGuard at a gateway. It is a port like any other, and shares the name space of its tenant's ports."},
	"Tenant":         {text: "An owner of networks, ports and policies. Tenants never see each other but through peerings."},
	"Network":        {text: "An isolated, routed address space of one tenant."},
	"Peering":        {text: "Joins a network of its tenant to another network, once both sides declare it."},
	"Port":           {text: "An attachment point for a VM's tap, or for a container that needs fixed addresses."},
	"FirewallPolicy": {text: "A tenant's policy. A workload that a policy selects for a direction is denied, in that direction, what no policy of the tenant allows or passes."},
	"PlatformPolicy": {text: "A policy of the platform's operator, for workloads of any tenant, before or after the tenants' own."},
	"AddressGroup":   {text: "A named list of address ranges that policies refer to."},

	"Fabric.metadata":         {text: "The name, always default, and labels."},
	"Fabric.spec":             {text: "The settings; absent ones have their defaults."},
	"Tenant.metadata":         {text: "The tenant's name, and labels that platform policies select by."},
	"Tenant.spec":             {text: "The tenant's settings."},
	"Network.metadata":        {text: "The network's name within its tenant."},
	"Network.spec":            {text: "The network's addresses."},
	"Peering.metadata":        {text: "The peering's name within the tenant that declares it."},
	"Peering.spec":            {text: "The two networks."},
	"Port.metadata":           {text: "The port's name within its tenant. The labels are those of the workload."},
	"Port.spec":               {text: "Where the port is attached."},
	"FirewallPolicy.metadata": {text: "The policy's name within its tenant."},
	"FirewallPolicy.spec":     {text: "Whom the policy governs, and its rules."},
	"PlatformPolicy.metadata": {text: "The policy's name."},
	"PlatformPolicy.spec":     {text: "Whom the policy governs, when, and its rules."},
	"AddressGroup.metadata":   {text: "The group's name within its tenant. Without a tenant the group belongs to the platform, and only platform policies can name it."},
	"AddressGroup.spec":       {text: "The ranges."},

	"Metadata.name":   {text: "A lower-case name: letters, digits and '-', at most 63. Unique among the kind's objects of a tenant.", maxLength: 63},
	"Metadata.tenant": {text: "The tenant that owns the object.", maxLength: 63},
	"Metadata.labels": {text: "Keys and values, as Kubernetes allows them; at most 64."},

	"FabricSpec.underlayMTU":    {text: "The largest IP packet, in bytes, that the network between the nodes carries.", def: DefaultUnderlayMTU, min: minUnderlayMTU, max: maxUnderlayMTU},
	"FabricSpec.vxlanPort":      {text: "The UDP port of the tunnels.", def: DefaultVXLANPort, min: 1, max: 65535},
	"FabricSpec.virtualMAC":     {text: "The MAC address with which the fabric answers every ARP and ND question.", def: "02:77:65:66:74:01"},
	"FabricSpec.posture":        {text: "Decides connections that no policy decided.", def: string(DefaultPosture), enum: postures},
	"FabricSpec.nodeBlock":      {text: "The size of the first address block that a node leases of a subnet. Each further one is twice as large."},
	"FabricSpec.ignoredLabels":  {text: "Label keys that never matter to policy, because they differ per workload. A key that ends in '/' stands for all keys with that prefix. A list replaces the default one."},
	"FabricSpec.logDenials":     {text: "Log the first packet of every connection that policy denies."},
	"FabricSpec.encryption":     {text: "How packets travel between the nodes."},
	"FabricSpec.overlay":        {text: "Which nodes have tunnels with each other, and what is reached over relays."},
	"FabricSpec.strictIdentity": {text: "Nodes accept from each other only the identities that the controller placed there."},

	"FabricSpec.reclaimHours":    {text: "How many hours a node may be gone before the address blocks, bound ports and identities that it holds are freed. It stays a member.", def: DefaultReclaimHours, min: 1, max: maxReclaimHours},
	"Encryption.mode":            {text: "none or wireguard.", def: string(EncryptionNone), enum: []string{string(EncryptionNone), string(EncryptionWireGuard)}},
	"Encryption.required":        {text: "Nodes without a key are kept out, instead of being reached in the plain."},
	"Encryption.port":            {text: "The UDP port on which nodes listen, unless a node's own configuration names another; 51820 with wireguard unless given.", min: 1, max: 65535},
	"NetworkEncryption.required": {text: "The network's packets never travel in the plain, also where the fabric would let them."},
	"Overlay.type":               {text: "mesh: a tunnel between any two nodes that share a network or a peering. hub: over hubs. zones: direct within a zone, over gateways between zones. links: the tunnels that links lists. All but mesh need encryption.", def: string(OverlayMesh), enum: overlayTypes},
	"Overlay.vteps":              {text: "The IPv4 range of the nodes' tunnel addresses, /8 to /28; its upper half is for probes. With wireguard 100.92.0.0/16 unless given."},
	"Overlay.hub":                {text: "The hubs, for the type hub."},
	"Overlay.zones":              {text: "The zones, for the type zones."},
	"Overlay.links":              {text: "The tunnels, for the type links.", maxItems: MaxOverlayLinks},
	"HubOverlay.nodes":           {text: "Names of nodes that are hubs.", maxItems: MaxHubs},
	"HubOverlay.selector":        {text: "Selects hubs by the labels of nodes."},
	"ZonesOverlay.label":         {text: "The key of the node label whose value is the node's zone."},
	"ZonesOverlay.gateways":      {text: "Selects the gateways of each zone by the labels of nodes."},
	"OverlayLink.from":           {text: "A node.", maxLength: 63},
	"OverlayLink.to":             {text: "Another node.", maxLength: 63},

	"FabricSpec.clients":    {text: "Where remote clients connect. Without it there are none."},
	"ClientAccess.gateways": {text: "Selects, by the labels of nodes, those that clients connect to."},
	"ClientAccess.port":     {text: "The UDP port of the network with number 1; the next networks have the next ports.", def: DefaultClientPort, min: 1, max: 65535},

	"Client.metadata":      {text: "The client's name, its tenant, and the labels that policies select it by."},
	"Client.spec":          {text: "The client."},
	"ClientSpec.network":   {text: "The network that the client joins, of its own tenant."},
	"ClientSpec.subnet":    {text: "The subnet of the addresses; the one that they lie in unless given."},
	"ClientSpec.addresses": {text: "The client's addresses, at least one and at most one of each IP version.", minItems: 1, maxItems: 2},
	"ClientSpec.publicKey": {text: "The client's WireGuard key, in base64, as wg pubkey prints it."},

	"NodeBlock.ipv4": {text: "Prefix length of IPv4 blocks. Small subnets are divided into smaller ones, so that several nodes get one.", def: DefaultNodeBlockIPv4, min: 16, max: maxLeaseIPv4},
	"NodeBlock.ipv6": {text: "Prefix length of IPv6 blocks.", def: DefaultNodeBlockIPv6, min: 64, max: maxLeaseIPv6},

	"TenantSpec.description": {text: "A text for people.", maxLength: maxDescription},
	"TenantSpec.posture":     {text: "Overrides the fabric's posture for the tenant's networks.", enum: postures},
	"TenantSpec.logDenials":  {text: "Log the first packet of every connection that a rule denies which governs the tenant's workloads, the platform's rules included."},

	"NetworkSpec.subnets":    {text: "The address ranges of the network, which don't overlap. The first is where dynamic addresses come from unless another is named.", minItems: 1, maxItems: MaxSubnets},
	"NetworkSpec.posture":    {text: "Overrides the tenant's posture.", enum: postures},
	"NetworkSpec.encryption": {text: "What the network asks of the tunnels between nodes."},
	"NetworkSpec.mtu":        {text: "The largest IP packet, in bytes, of the network's workloads. Unless given: what the fabric's underlayMTU leaves them. At most that, and at least 1280 with an IPv6 subnet, else 576.", min: minNetworkMTU, max: maxUnderlayMTU},
	"Subnet.name":            {text: "The subnet's name within the network.", maxLength: 63},
	"Subnet.ipv4":            {text: "The IPv4 range, without host bits, /8 to /30. At least one of ipv4 and ipv6 is given."},
	"Subnet.ipv6":            {text: "The IPv6 range, without host bits, /32 to /126."},
	"Subnet.gateway4":        {text: "The IPv4 address of the fabric's router in the subnet; the first address of the range unless given."},
	"Subnet.gateway6":        {text: "The IPv6 address of the fabric's router in the subnet; the first address of the range unless given."},
	"Subnet.dns":             {text: "The IPv4 addresses of the name servers that DHCP names to the subnet's workloads, the preferred one first.", maxItems: maxDNS},

	"PeeringSpec.network": {text: "A network of the peering's own tenant."},
	"PeeringSpec.peer":    {text: "The network on the other side."},
	"PeerNetwork.tenant":  {text: "The other network's tenant; the peering's own unless given."},
	"PeerNetwork.network": {text: "The other network's name."},

	"PortSpec.network":   {text: "The network that the port is attached to, of the port's own tenant."},
	"PortSpec.subnet":    {text: "The subnet of the port's addresses; the one that its fixed addresses lie in, or the network's first, unless given."},
	"PortSpec.mac":       {text: "The MAC address, unique in the network; derived from the port's name unless given."},
	"PortSpec.addresses": {text: "Fixed addresses, at most one of each IP version. A port without any gets its addresses from the node.", maxItems: 2},

	"FirewallPolicySpec.network":  {text: "The network whose workloads the policy selects; every network of the tenant unless given."},
	"FirewallPolicySpec.priority": {text: "Orders policies: lower numbers decide first, then names.", def: DefaultPriority, min: 1, max: maxPriority},
	"FirewallPolicySpec.subject":  {text: "Selects the workloads that the policy governs; all unless given."},
	"FirewallPolicySpec.ingress":  {text: "Rules for what reaches the subject. Absent: the policy doesn't govern ingress. Empty: it allows none.", maxItems: MaxRules},
	"FirewallPolicySpec.egress":   {text: "Rules for what the subject opens. Absent: the policy doesn't govern egress. Empty: it allows none.", maxItems: MaxRules},

	"PlatformPolicySpec.tier":     {text: "When the policy is asked: platform, before the tenants' policies, or baseline, after them.", enum: []string{string(TierPlatform), string(TierBaseline)}},
	"PlatformPolicySpec.priority": {text: "Orders policies of a tier: lower numbers decide first, then names.", def: DefaultPriority, min: 1, max: maxPriority},
	"PlatformPolicySpec.subject":  {text: "Selects the workloads that the policy governs; all unless given."},
	"PlatformPolicySpec.ingress":  {text: "Rules for what reaches the subject. What no rule matches goes on to the next tier.", maxItems: MaxRules},
	"PlatformPolicySpec.egress":   {text: "Rules for what the subject opens. What no rule matches goes on to the next tier.", maxItems: MaxRules},
	"PlatformSubject.tenants":     {text: "Selects tenants by their labels; all unless given."},
	"PlatformSubject.workloads":   {text: "Selects workloads by their labels; all unless given."},

	"Rule.name":   {text: "A name for messages, unique in the policy's direction.", maxLength: 63},
	"Rule.action": {text: "What to do with a connection that matches. pass hands it to the next tier.", def: string(Allow), enum: []string{string(Allow), string(Deny), string(Pass)}},
	"Rule.from":   {text: "The sources, in an ingress rule; everyone unless given.", minItems: 1, maxItems: MaxPeers},
	"Rule.to":     {text: "The destinations, in an egress rule; everyone unless given.", minItems: 1, maxItems: MaxPeers},
	"Rule.ports":  {text: "Protocols and destination ports. With neither ports nor icmp every packet matches.", minItems: 1, maxItems: MaxServices},
	"Rule.icmp":   {text: "ICMP types.", minItems: 1, maxItems: MaxServices},
	"Rule.log":    {text: "Log the first packet of every connection that the rule decides."},

	"Peer.workloads":        {text: "Selects workloads by network and labels."},
	"Peer.cidr":             {text: "An address range, whoever has the address, workloads too."},
	"Peer.addressGroup":     {text: "The name of an address group: the tenant's own, or in a platform policy the platform's."},
	"WorkloadPeer.tenant":   {text: "The tenant of the network. Unless given: the policy's own tenant, or any in a platform policy."},
	"WorkloadPeer.network":  {text: "The network. Unless given: that of the governed workload, or any in a platform policy. A tenant reaches another network only when the two are peered."},
	"WorkloadPeer.selector": {text: "Selects workloads by their labels; all unless given."},
	"CIDRPeer.cidr":         {text: "The range, without host bits."},
	"CIDRPeer.except":       {text: "Ranges within cidr that are left out.", maxItems: MaxExcepts},
	"PortRange.protocol":    {text: "The protocol.", enum: []string{string(TCP), string(UDP), string(SCTP)}},
	"PortRange.port":        {text: "The destination port, or the first of a range; every port unless given.", min: 1, max: 65535},
	"PortRange.endPort":     {text: "The last port of the range; port alone unless given.", min: 1, max: 65535},
	"ICMPType.family":       {text: "ipv4 for ICMP, ipv6 for ICMPv6.", enum: []string{string(IPv4), string(IPv6)}},
	"ICMPType.type":         {text: "The type; every type unless given."},
	"ICMPType.code":         {text: "The code; every code unless given."},

	"AddressGroupSpec.prefixes": {text: "The ranges, without host bits.", minItems: 1, maxItems: MaxGroupPrefixes},

	"Selector.matchLabels":      {text: "Labels that must be there with these values."},
	"Selector.matchExpressions": {text: "Conditions that must all hold.", maxItems: MaxRequirements},
	"Requirement.key":           {text: "The label's key."},
	"Requirement.operator":      {text: "The condition. NotIn and DoesNotExist hold for workloads without the key.", enum: []string{string(In), string(NotIn), string(Exists), string(DoesNotExist)}},
	"Requirement.values":        {text: "The values of In and NotIn.", maxItems: MaxValues},
}

var postures = []string{string(Allow), string(Deny)}
