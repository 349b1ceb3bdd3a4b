package cli

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/weftfabric/weft/audit"
	"github.com/weftfabric/weft/audit/evidence"
	"github.com/weftfabric/weft/cli/output"
	"github.com/weftfabric/weft/topology"
	"github.com/weftfabric/weft/verify"
	"github.com/weftfabric/weft/version"
)

// sealFlags say where evidence goes, and who signs it.
type sealFlags struct {
	bundle, key   string
	withoutInputs bool
	verify        bool
}

func (f *sealFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.bundle, "bundle", "", "also write the report to this file, as signed evidence")
	cmd.Flags().StringVar(&f.key, "key", "", "private key that signs --bundle: see weft audit keygen")
	cmd.Flags().BoolVar(&f.withoutInputs, "without-inputs", false, "leave what was audited out of --bundle, but for its hashes")
	cmd.Flags().BoolVar(&f.verify, "verify", false, "with --bundle: also prove that each node's flows carry out its plan")
	completeFiles(cmd, "bundle", "key")
}

func (f *sealFlags) check(cmd *cobra.Command) error {
	if (f.bundle == "") != (f.key == "") || f.verify && f.bundle == "" {
		return usage(cmd, "--bundle and --key belong together, and --verify goes with them: evidence is signed; weft audit keygen makes a key")
	}
	return nil
}

// completeFiles completes flags by the names of files.
func completeFiles(cmd *cobra.Command, flags ...string) {
	for _, f := range flags {
		complete(cmd, f, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		})
	}
}

// seal writes a report as evidence.
func (a *app) seal(cmd *cobra.Command, f reportFlags, b audit.Brief, r audit.Report) error {
	pem, err := os.ReadFile(f.seal.key)
	if err != nil {
		return refused("can't read the key: %w", err)
	}
	key, err := evidence.ParsePrivate(pem)
	if err != nil {
		return refused("%s: %w", f.seal.key, err)
	}
	m := evidence.NewManifest(r)
	m.Made, m.Version, m.Question = stamp(a.Now()), version.Version, f.question(r)
	var contents []evidence.Content
	verification, err := a.sealNodes(cmd, f, &m)
	if err != nil {
		return err
	}
	if !f.seal.withoutInputs {
		for i, data := range inputsOf(b) {
			c := evidence.Content{Name: fmt.Sprintf("inputs/%03d", i+1), Data: data}
			m.Inputs = append(m.Inputs, c.Name)
			contents = append(contents, c)
		}
	}
	answers, err := r.Marshal()
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := r.WriteHTML(&page, version.Version); err != nil {
		return err
	}
	contents = append(contents, evidence.Content{Name: evidence.ReportName, Data: answers}, evidence.Content{Name: evidence.PageName, Data: page.Bytes()})
	if verification != nil {
		contents = append(contents, evidence.Content{Name: evidence.VerifiedName, Data: verification})
	}
	sealed, err := evidence.Seal(m, contents, key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.seal.bundle, sealed, 0o600); err != nil {
		return refused("can't write the evidence: %w", err)
	}
	fingerprint, err := fingerprintOf(key)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Stderr, "%s: signed with the key %s\n", f.seal.bundle, fingerprint)
	return nil
}

// sealNodes notes what the nodes' switches hold, or why that isn't known. It returns what verification said, if it was asked.
func (a *app) sealNodes(cmd *cobra.Command, f reportFlags, m *evidence.Manifest) (verification []byte, err error) {
	present := m.Input.Kind == audit.FromController && f.source.revision == 0
	switch {
	case f.seal.verify && !present:
		return nil, usage(cmd, "--verify is about the controller's present state: leave out -f and --revision")
	case f.seal.verify:
		v, err := a.verifyNodes(cmd, nil, false)
		if err != nil {
			return nil, err
		}
		return noteVerified(v, m)
	case m.Input.Kind != audit.FromController:
		return nil, nil
	}
	missing := pastRevision
	if present {
		client, err := a.dial(cmd)
		if err != nil {
			return nil, err
		}
		nodes, reason, err := nodeEvidence(cmd.Context(), client.Observe)
		if err != nil {
			return nil, explain(a.server(), err)
		}
		m.Nodes, missing = append(m.Nodes, nodes...), reason
	}
	if missing != "" {
		m.NotCovered = append(m.NotCovered, string(missing))
	}
	return nil, nil
}

// noteVerified notes what verification said of the nodes. What switches hold is covered when it said something of each.
func noteVerified(v verified, m *evidence.Manifest) ([]byte, error) {
	covered := len(v.Nodes) > 0
	for _, n := range v.Nodes {
		node := evidence.Node{Name: n.Node, Error: n.Error}
		if covered = covered && n.Report != nil; n.Report != nil {
			node.Read, node.PlanRevision, node.PlanHash = stamp(*n.ReadAt), n.PlanRevision, n.PlanHash
			node.Flows, node.FlowsSHA256, node.Verified = uint32(n.Report.Flows), n.FlowsSHA256, evidence.FlowsProved
			if len(n.Report.Findings) > 0 {
				node.Verified = evidence.FlowsFindings
			}
			node.Settled = !slices.ContainsFunc(n.Report.Findings, func(f verify.Finding) bool { return f.Kind == verify.KindPlan })
		}
		m.Nodes = append(m.Nodes, node)
	}
	if covered {
		m.NotCovered = slices.DeleteFunc(m.NotCovered, func(s string) bool { return s == audit.SwitchesNotCovered })
	}
	return output.Marshal(v)
}

// inputsOf returns what a report was made of, in the order in which its input lists it.
func inputsOf(b audit.Brief) [][]byte {
	var out [][]byte
	if b.State != nil {
		out = append(out, b.State)
	}
	for _, list := range [][]topology.Source{b.Sources, b.Assertions} {
		for _, s := range list {
			out = append(out, s.Content)
		}
	}
	return out
}

func fingerprintOf(key ed25519.PrivateKey) (string, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return "", errors.New("the key is not one of Ed25519")
	}
	return evidence.Fingerprint(public)
}

func (a *app) auditKeygenCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a key that signs evidence",
		Long: `Make a key of Ed25519: the private one in FILE, which only its owner can read, and the public one in FILE.pub, for those
who check. The fingerprint of the public key is printed. A file that exists is never overwritten.`,
		Example: `  weft audit keygen audit.key`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			private, public, err := evidence.NewKey(rand.Reader)
			if err != nil {
				return err
			}
			for _, f := range []struct {
				path string
				data []byte
				mode fs.FileMode
			}{{args[0], private, 0o600}, {args[0] + ".pub", public, 0o644}} {
				if err := writeNew(f.path, f.data, f.mode); err != nil {
					return refused("can't write the key: %w", err)
				}
			}
			key, err := evidence.ParsePublic(public)
			if err != nil {
				return err
			}
			fingerprint, err := evidence.Fingerprint(key)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.Stdout, "%s\n", fingerprint)
			return err
		},
	}
}

// writeNew writes a file that must not exist.
func writeNew(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
