package ingest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"permanode/ledger"
	"permanode/storage"
)

// Decide records an operator's word on a number that was signed twice: which of the noted units counts. Where the
// committed one does, collecting goes on past sources that follow another. A unit that was not noted, or one that
// is not committed, is refused with an error that wraps ErrConfig: nothing that is committed is ever taken back.
func Decide(ctx context.Context, store storage.Writer, codec ledger.Codec, seq uint64, unit ledger.ID, at time.Time) error {
	committed, _, err := store.Unit(ctx, store.Net(), seq)
	if err != nil {
		return fmt.Errorf("unit %d: %w", seq, err)
	}
	var noted []ledger.ID
	for n, err := range store.Notes(ctx, store.Net()) {
		if err != nil {
			return err
		}
		if n.Kind == storage.NoteEquivocation && n.Seq == seq && !slices.Contains(noted, n.Unit) {
			noted = append(noted, n.Unit)
		}
	}
	switch {
	case len(noted) < 2:
		return fmt.Errorf("%w: unit %d was signed once: there is nothing to decide", ErrConfig, seq)
	case !slices.Contains(noted, unit):
		return fmt.Errorf("%w: %s is none of the units that were signed with number %d: %s", ErrConfig, codec.FormatID(unit), seq, formatIDs(codec, noted))
	case unit != committed.ID:
		return fmt.Errorf("%w: %s is committed as unit %d and is never taken back; to archive what follows %s begin another network name or data directory from a snapshot",
			ErrConfig, codec.FormatID(committed.ID), seq, codec.FormatID(unit))
	}
	return store.Note(ctx, storage.Note{
		Net: store.Net(), Kind: storage.NoteDecision, Seq: seq, To: seq, Unit: unit, Code: "operator",
		Text: "the operator decided that this unit counts", TimeMs: at.UnixMilli(),
	})
}

func formatIDs(codec ledger.Codec, ids []ledger.ID) (text string) {
	for i, id := range ids {
		if i > 0 {
			text += ", "
		}
		text += codec.FormatID(id)
	}
	return text
}

// decision returns the unit of that number that an operator chose, the zero ID if nobody did.
func decision(ctx context.Context, store storage.Reader, net ledger.NetID, seq uint64) (ledger.ID, error) {
	for n, err := range store.Notes(ctx, net) {
		if err != nil {
			return ledger.ID{}, err
		}
		if n.Kind == storage.NoteDecision && n.Seq == seq {
			return n.Unit, nil
		}
	}
	return ledger.ID{}, nil
}
