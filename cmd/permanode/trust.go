package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"permanode/internal/durable"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/ledger/rebased"
	"permanode/ledger/stardust"
)

const (
	maxTrust = 1 << 20
	nodeTime = 30 * time.Second // for a node to say what a trust file needs
)

// readTrust returns a built-in trust file or one from disk. Errors wrap ledger.ErrTrust.
func readTrust(name string) (ledger.Trust, error) {
	if raw, ok := eras.BuiltIn(name); ok {
		return eras.ParseTrust(raw)
	}
	if name == "" {
		return ledger.Trust{}, fmt.Errorf("%w: none is named", ledger.ErrTrust)
	}
	raw, err := durable.ReadFile(name, maxTrust)
	if err != nil {
		return ledger.Trust{}, fmt.Errorf("%w: neither built in (%s) nor a file: %w", ledger.ErrTrust, strings.Join(eras.BuiltInNames(), ", "), err)
	}
	t, err := eras.ParseTrust(raw)
	if err != nil {
		return t, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}

func (p *program) trustCommand() *cobra.Command {
	return group("trust", "Make and show trust files: the keys and rules that units are proven against", "",
		p.trustInitCommand(), p.trustShowCommand())
}

const trustInitHelp = `Writes a trust file: the network's identity, its parameters and the keys that sign its units.

From a trust file, or a built-in one, it takes everything; --snapshot replaces the snapshots that it names. From a
recording folder it takes what network.json says, and the SHA-256 of the snapshot in it. From a Hornet node it takes the
signers of its oldest and newest unit, because its REST lists no keys; from its INX (inx://HOST:9029) the keys that it is
configured with. From a Rebased node, a genesis checkpoint or a
folder of checkpoint files (with a committee_epoch0.json beside them) it takes the committee of epoch 0, and checks that
it signed checkpoint 0. What only a node says must be compared with the operator's word before you rely on it: the
command lists it. With --snapshot the file also names the snapshot that may open a span.`

func (p *program) trustInitCommand() *cobra.Command {
	var from, out string
	var snapshot []string
	force := false
	c := &cobra.Command{
		Use: "init --from SOURCE -o FILE", Short: "Write a trust file from a recording, checkpoint files, a node, or another trust file", Long: trustInitHelp, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case from == "":
				return usagef("name a recording folder or a node's address", "--from is missing")
			case out == "":
				return usagef("name the file to write", "-o is missing")
			case len(snapshot) > 2:
				return usagef("name a full file and at most its delta", "--snapshot is given %d times", len(snapshot))
			}
			raw, err := p.makeTrust(c.Context(), from, snapshot)
			if err != nil {
				return err
			}
			return p.writeNew(out, raw, force)
		},
	}
	c.Flags().StringVar(&from, "from", "", "recording folder, folder of checkpoint files, a node's address, a trust file, or a built-in one")
	c.Flags().StringVarP(&out, "out", "o", "", "file to write")
	c.Flags().StringArrayVar(&snapshot, "snapshot", nil, "snapshot file that may open a span; a second one is its delta")
	c.Flags().BoolVar(&force, "force", false, "replace the file if it is there")
	return c
}

func (p *program) makeTrust(ctx context.Context, from string, snapshot []string) (raw []byte, err error) {
	t, noTrust := readTrust(from)
	if noTrust == nil {
		return trustFromTrust(t, snapshot)
	}
	s, err := anySource(ctx, from)
	if info, statErr := os.Stat(from); err != nil && statErr == nil && info.Mode().IsRegular() && !strings.HasSuffix(from, ".chk") {
		return nil, noTrust // a cone file would be no use either
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if s.trust == nil {
		return nil, usagef("name a recording folder, a node's address or a folder of checkpoint files", "--from %q holds no keys", from)
	}
	if s.snapshot != nil && len(snapshot) == 0 {
		own, err := s.snapshot()
		if err != nil {
			return nil, fmt.Errorf("snapshot of %s: %w", from, err)
		}
		if own != "" {
			snapshot = []string{own}
		}
	}
	sums, err := hashFiles(snapshot)
	if err != nil {
		return nil, err
	}
	limit, cancel := context.WithTimeout(ctx, nodeTime)
	defer cancel()
	raw, unsure, err := s.trust(limit, sums)
	if err != nil {
		return nil, fmt.Errorf("make a trust file from %s: %w", s.name, err)
	}
	if len(unsure) > 0 {
		p.say("UNCHECKED: compare with the operator:")
	}
	for _, line := range unsure {
		p.say("  %s", plain(line))
	}
	return raw, nil
}

// trustFromTrust is t, with other snapshots if some are named.
func trustFromTrust(t ledger.Trust, snapshot []string) ([]byte, error) {
	if len(snapshot) == 0 {
		return t.Raw, nil
	}
	sums, err := hashFiles(snapshot)
	if err != nil {
		return nil, err
	}
	rules, ok := t.Rules.(*stardust.Rules)
	if !ok {
		return nil, usagef("leave --snapshot out", "a network of the era %s begins with its first unit, not with a snapshot", t.Era)
	}
	parameters := rules.Parameters()
	return stardust.NewTrust(stardust.TrustSpec{
		Parameters: stardust.AppendParameters(nil, &parameters), KeyCount: rules.KeyCount, Keys: rules.Keys, Snapshot: sums,
	})
}

// trustLines says who signs, for a person to compare. what says where the keys come from.
func trustLines(t ledger.Trust, what string) (out []string) {
	out = append(out, fmt.Sprintf("network %s (%s)", t.Name, t.Identity))
	switch rules := t.Rules.(type) {
	case *stardust.Rules:
		out = append(out, fmt.Sprintf("%d of these must sign; %s", rules.KeyCount, what))
		for _, k := range rules.Keys {
			out = append(out, fmt.Sprintf("%x for units %s", k.Key, keyRange(uint64(k.Start), uint64(k.End))))
		}
	}
	return out
}

func hashFiles(names []string) (sums []string, err error) {
	for _, name := range names {
		sum, err := fileSHA256(name)
		if err != nil {
			return nil, usagef("name a snapshot file", "snapshot: %w", err)
		}
		sums = append(sums, sum)
	}
	return sums, nil
}

func (p *program) trustShowCommand() *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use: "show FILE|NAME", Short: "Show a trust file, or a built-in one: " + strings.Join(eras.BuiltInNames(), ", "),
		Args: oneArg("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := readTrust(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return p.printf("%s\n", t.Raw)
			}
			return p.printf("%s", trustText(t))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "the canonical bytes")
	return c
}

func trustText(t ledger.Trust) string {
	var out table
	fmt.Fprintf(&out, "trust file of %s\n", plain(cmp.Or(t.Name, t.Identity)))
	out.line("era", "%s", t.Era)
	out.line("identity", "%s", t.Identity)
	switch rules := t.Rules.(type) {
	case *stardust.Rules:
		out.line("threshold", "%d different keys must sign a unit", rules.KeyCount)
		for _, k := range rules.Keys {
			out.line("key", "%x for units %s", k.Key, keyRange(uint64(k.Start), uint64(k.End)))
		}
	case *rebased.Rules:
		c := rules.Committee
		out.line("committee", "of epoch %d: %d votes must sign; later committees come out of the ledger", c.Epoch, c.Quorum)
		for _, m := range c.Members {
			out.line("member", "%x with %d votes", m.Key, m.Power)
		}
	}
	for _, sum := range t.Snapshot {
		out.line("snapshot", "SHA-256 %s", sum)
	}
	if len(t.Snapshot) == 0 && !t.States {
		out.line("snapshot", "none: archives of it go by claims")
	}
	return out.String()
}

// keyRange says for which units a key may sign. End 0 is open.
func keyRange(start, end uint64) string {
	if end == 0 {
		return fmt.Sprintf("from %d on", start)
	}
	return fmt.Sprintf("%d to %d", start, end)
}
