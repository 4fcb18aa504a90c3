package query

import (
	"context"
	"errors"
	"io"
	"strings"
)

// StatementColumns are the columns of a statement as CSV. Each account has rows of the kind opening, one an asset, then
// its lines, then rows of the kind closing.
var StatementColumns = []Column{
	{"network", "word", "", "The network's name."},
	{"address", "word", "", "The account, as its era writes addresses."},
	{"kind", "word", "", "opening, record, unit, expiry or closing. opening and closing are the balances at the ends of the period."},
	{"seq", "integer", "unit number", "The unit of the line; of opening and closing the newest unit that counts. Empty: no unit did it."},
	{"pos", "integer", "place in the unit, from 0", "Empty: no record did it."},
	{"id", "word", "", "Of the record, the unit, or the output that expired."},
	{"time_utc", "time", "RFC 3339, UTC", "The signed time of the unit, or the time at which the output expired."},
	{"state", "word", "", "What became of the record."},
	{"roles", "word", "", "How the record stands to the account, with spaces between."},
	{"asset", "word", "", "coins for the base coin, else the token as its era writes it."},
	{"amount", "integer", "smallest unit of the asset", "What was gained, negative where lost. Empty in opening and closing."},
	{"balance", "integer", "smallest unit of the asset", "After the line. Empty: not known, and the note says why."},
	{"counterparties", "word", "", "Who lost the asset where the account gained it, or gained it where it lost it, with spaces between; the first 20."},
	{"note", "word", "", "Of opening and closing: what is missing."},
}

// CSV writes all accounts, with the columns of [StatementColumns]. rows is kept at the number of rows written. Where a part
// of the period is missing it finishes, and then fails with the error of Missing.
func (st *WholeStatement) CSV(ctx context.Context, w io.Writer, rows *uint64) (Exported, error) {
	t := newTable(w, StatementColumns)
	for _, s := range st.sheets {
		account := s.account()
		if err := balanceRows(t, &account, "opening", account.Opening); err != nil {
			return Exported{}, err
		}
		walk, err := st.a.walker(ctx, s, spotCursor{})
		if err != nil {
			return Exported{}, err
		}
		for l, err := range walk.lines(ctx) {
			if err == nil {
				err = lineRow(t, &l.StatementLine)
			}
			if err != nil {
				return Exported{}, err
			}
			*rows = t.rows
		}
		if err := balanceRows(t, &account, "closing", account.Closing); err != nil {
			return Exported{}, err
		}
	}
	*rows = t.rows
	err := t.close()
	return Exported{Rows: t.rows, SHA256: t.sha256()}, errors.Join(err, st.Missing())
}

// balanceRows writes the balance at one end of the period; one row without a balance where it is not known.
func balanceRows(t *table, account *StatementAccount, kind string, b *StatementBalance) error {
	if b == nil {
		b = &StatementBalance{Assets: []StatementAsset{{Asset: BaseCoins}}}
	}
	for _, of := range b.Assets {
		t.word(account.Network)
		t.word(account.Address)
		t.word(kind)
		t.uintOr(b.Seq)
		t.null()
		t.null()
		t.wordOr(b.Time)
		t.null()
		t.null()
		t.word(of.Asset)
		t.null()
		t.digits(of.Amount)
		t.null()
		t.word(account.Why)
		if err := t.end(); err != nil {
			return err
		}
	}
	return nil
}

func lineRow(t *table, l *StatementLine) error {
	t.word(l.Network)
	t.word(l.Address)
	t.word(l.Kind)
	t.uintOr(l.Seq)
	if l.Pos == nil {
		t.null()
	} else {
		t.uint(uint64(*l.Pos))
	}
	t.word(l.ID)
	t.word(l.Time)
	t.wordOr(l.State)
	t.word(strings.Join(l.Roles, " "))
	t.word(l.Asset)
	t.digits(l.Amount)
	t.digits(l.Balance)
	t.word(strings.Join(l.Others, " "))
	t.null()
	return t.end()
}

func (t *table) uintOr(n *uint64) {
	if n == nil {
		t.null()
		return
	}
	t.uint(*n)
}

func (t *table) wordOr(s *string) {
	if s == nil {
		t.null()
		return
	}
	t.word(*s)
}
