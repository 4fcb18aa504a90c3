package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"permanode/ingest"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/query"
	"permanode/storage"
)

func (p *program) coverageDecideCommand() *cobra.Command {
	var d dataFlags
	var unit string
	var seq uint64
	c := &cobra.Command{
		Use: "decide --network NAME --seq N --unit ID [--data DIR|--config FILE]", Short: "Say which of two units that were signed with one number counts", Args: noArgs,
		Long: `A network whose signers signed two units with one number, and went on from the one that is not committed here, stops until an
operator decides. Both units stand in the archive's notes. Decide for the committed one, and collecting waits for who
follows it. It cannot be decided against what is committed: nothing is ever taken back; archive what follows the other
unit under another network name, from a snapshot.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if unit == "" || !c.Flags().Changed("seq") {
				return usagef("write: permanode coverage decide --network NAME --seq N --unit ID", "--seq or --unit is missing")
			}
			return p.act(c.Context(), &d, func(n query.Network, w storage.Writer) error {
				id, err := unitID(n, unit)
				if err != nil {
					return err
				}
				if err := ingest.Decide(c.Context(), w, n.Codec, seq, id, time.Now()); err != nil {
					return err
				}
				p.say("%s: decided that %s is unit %d", n.Name, n.Codec.FormatID(id), seq)
				return nil
			})
		},
	}
	d.add(c, false)
	c.Flags().Uint64Var(&seq, "seq", 0, "number of the unit")
	c.Flags().StringVar(&unit, "unit", "", "id of the unit that counts")
	return c
}

func unitID(n query.Network, text string) (ledger.ID, error) {
	for _, key := range n.Codec.Recognise(text, n.Rules) {
		if key.Kind == ledger.KeyUnit {
			return ledger.NewID([]byte(key.Val)), nil
		}
	}
	return ledger.ID{}, usagef("permanode status names both units", "--unit %q is no unit id of %s", text, n.Name)
}

// act opens the archive that d names for writing and hands over one network of it.
func (p *program) act(ctx context.Context, d *dataFlags, do func(query.Network, storage.Writer) error) (err error) {
	if d.network == "" {
		return usagef("permanode coverage lists the networks", "--network is missing")
	}
	dir, memory, err := d.where()
	if err != nil {
		return err
	}
	if err := p.mustExist(dir); err != nil {
		return err
	}
	db, err := p.open(dir, memory, false, p.logger(slog.LevelWarn))
	if err != nil {
		return d.explain(err)
	}
	defer closing(ctx, &err, db.Close)
	networks, err := query.New(db, eras.Codec).Select(ctx, d.network)
	if err != nil {
		return err
	}
	n := networks[0]
	w, err := openWriter(ctx, db, n.Name, "", n.Rules)
	if err != nil {
		return err
	}
	defer closing(ctx, &err, w.Close)
	return do(n, w)
}

// mustExist keeps a mistyped directory from being made.
func (p *program) mustExist(dir string) error {
	fs := p.fs
	if fs == nil {
		fs = vfs.Default
	}
	if _, err := fs.Stat(dir); err != nil {
		return fmt.Errorf("%s: %w", dir, storage.ErrNoData)
	}
	return nil
}
