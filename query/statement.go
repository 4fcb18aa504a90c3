package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"permanode/index/lang"
	"permanode/ledger"
	"permanode/storage"
)

// BaseCoins is how a statement names the base coin among the assets.
const BaseCoins = "coins"

// StatementRequest asks what an address gained and lost in a period.
type StatementRequest struct {
	Networks []Network
	Address  string // in any form that the networks read
	From, To Period // the zero Period: from the first unit that is held, to the newest
	Asset    string // "": all; BaseCoins, or a token's id or type in any spelling
	Cursor   string
	Limit    int
}

// Statement is a page of it. The opening balance of an account, with all its lines added, is the closing balance; so is
// what was carried to a page with the lines behind it.
type Statement struct {
	Accounts   []StatementAccount `json:"accounts"` // one an address that is read, in the order of the items; never null
	Items      []StatementLine    `json:"items"`
	NextCursor *string            `json:"next_cursor"` // null on the last page
	Total      Total              `json:"total"`
	Coverage   []Extent           `json:"coverage"`
	Complete   bool               `json:"complete"` // nothing of what was asked is missing
}

// StatementAccount is an address in one network.
type StatementAccount struct {
	Network  string            `json:"network"`
	Address  string            `json:"address"`  // as the era writes it
	Opening  *StatementBalance `json:"opening"`  // before the first line of the period; null where it is not known
	Carried  []StatementAsset  `json:"carried"`  // before its first line on this page; null where it has none there
	Closing  *StatementBalance `json:"closing"`  // after the last line of the period; null where it is not known
	Final    bool              `json:"final"`    // the period is over: no unit to come can belong to it
	Complete bool              `json:"complete"` // no unit of the period is missing, and all that may count was read whole
	Why      string            `json:"why,omitempty"`
}

// StatementBalance is what an account held.
type StatementBalance struct {
	Seq    *uint64          `json:"seq"`  // the newest unit that counts; null before the first one of all
	Time   *string          `json:"time"` // at which expiry is judged; null where it is not known
	Assets []StatementAsset `json:"assets"`
}

// StatementAsset is an amount of an asset.
type StatementAsset struct {
	Asset  string `json:"asset"` // BaseCoins, or a token as the era writes it
	Amount string `json:"amount"`
}

// The kinds of lines.
const (
	LineRecord = "record"
	LineUnit   = "unit"   // the unit itself moved it: funds that a receipt brought
	LineExpiry = "expiry" // nobody did: an output became another one's when its time came
)

// maxCounterparties is how many a line names.
const maxCounterparties = 20

// StatementLine is one change of what an account holds of one asset.
type StatementLine struct {
	Network string   `json:"network"`
	Address string   `json:"address"`
	Kind    string   `json:"kind"`
	Seq     *uint64  `json:"seq"` // null: no unit did it
	Pos     *uint32  `json:"pos"` // null: no record did it
	ID      string   `json:"id"`  // of the record, the unit, or the output that expired
	Time    string   `json:"time"`
	State   *string  `json:"state"` // null: no record did it
	Roles   []string `json:"roles"`
	Asset   string   `json:"asset"`
	Amount  string   `json:"amount"`  // negative: lost
	Balance string   `json:"balance"` // of the asset, after the line
	// Others are the owners who lost the asset where the account gained it, or gained it where it lost it.
	Others     []string `json:"counterparties"`
	MoreOthers int      `json:"more_counterparties,omitempty"` // beyond those named
	Href       string   `json:"href"`
}

// Period is one end of a period, which belongs to it.
type Period struct{ Moment }

// ParseFrom reads the beginning of a period as [ParseMoment] reads its end: a day, month or year is its first instant.
func ParseFrom(text string) (Period, error) {
	at, err := parseMoment(text, "beginning")
	if err != nil || at.TimeMs == nil {
		return Period{at}, err
	}
	t, _, _, _ := lang.ParseTime(text)
	ms := t.UnixMilli()
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		ms++ // the first millisecond that is not before it
	}
	return Period{Moment{TimeMs: &ms}}, nil
}

// ParseTo reads the end of a period.
func ParseTo(text string) (Period, error) {
	at, err := ParseMoment(text)
	return Period{at}, err
}

// PeriodError reports a period that ends before it begins.
type PeriodError struct{ Where string }

func (e *PeriodError) Error() string { return "the period ends before it begins" + e.Where }

// check compares two ends of the same sort; others are compared in each network.
func (r *StatementRequest) check() error {
	from, to := r.From, r.To
	if from.Unit != nil && to.Unit != nil && *from.Unit > *to.Unit || from.TimeMs != nil && to.TimeMs != nil && *from.TimeMs > *to.TimeMs {
		return &PeriodError{}
	}
	return nil
}

// asked ties a cursor to what was asked.
func (r *StatementRequest) asked() [questionLen]byte {
	names := []string{"statement", r.Address, r.From.text(), r.To.text(), r.Asset}
	for _, n := range r.Networks {
		names = append(names, n.Name)
	}
	return question(names...)
}

func (p Period) text() string {
	switch {
	case p.Unit != nil:
		return fmt.Sprint("unit:", *p.Unit)
	case p.TimeMs != nil:
		return fmt.Sprint(*p.TimeMs)
	}
	return ""
}

// BadAssetError reports an asset that no network asked can read.
type BadAssetError struct {
	Asset    string
	Networks []Network
}

func (e *BadAssetError) Error() string {
	return fmt.Sprintf("%s names no asset of %s", Quote(e.Asset), networkNames(e.Networks))
}

// Hint is the next step.
func (e *BadAssetError) Hint() string {
	return "write " + BaseCoins + " for the base coin, or a token's id or type as a record shows it"
}

// Statement returns a page of lines, oldest first inside a network, networks in the order of lists. It fails with
// *QueryError where no network reads the address, *BadAssetError, *PeriodError and ErrBadCursor.
func (a *Archive) Statement(ctx context.Context, req StatementRequest) (Statement, error) {
	st, err := a.OpenStatement(ctx, req)
	if err != nil {
		return Statement{}, err
	}
	out := Statement{Accounts: []StatementAccount{}, Items: []StatementLine{}, Coverage: st.searched, Complete: true}
	page := statementPage{out: &out, limit: req.Limit, asked: req.asked()}
	for i, s := range st.sheets {
		var carried []StatementAsset
		if i >= st.begin && out.NextCursor == nil {
			if carried, err = page.fill(ctx, a, s, st.at); err != nil {
				return Statement{}, err
			}
			st.at = spotCursor{}
		}
		account := s.account()
		account.Carried = carried
		out.Complete = out.Complete && s.whole()
		n, err := a.statementTotal(ctx, s)
		if err != nil {
			return Statement{}, err
		}
		out.Total.Value += n
		out.Accounts = append(out.Accounts, account)
	}
	out.Total.Relation = UpperBound
	if req.Cursor == "" && out.NextCursor == nil {
		out.Total = Total{Value: uint64(len(out.Items)), Relation: Exact}
	}
	return out, nil
}

// statementPage gathers the lines of one page.
type statementPage struct {
	out   *Statement
	limit int
	asked [questionLen]byte
	last  string // cursor of the last line
}

// fill adds the lines of one account behind at, and the cursor of the next page if there is a line too many. It returns
// what the account held before the first of them.
func (p *statementPage) fill(ctx context.Context, a *Archive, s *sheet, at spotCursor) (carried []StatementAsset, err error) {
	w, err := a.walker(ctx, s, at)
	if err != nil {
		return nil, err
	}
	for l, err := range w.lines(ctx) {
		if err != nil {
			return nil, err
		}
		if len(p.out.Items) == p.limit {
			p.out.NextCursor = &p.last
			return carried, nil
		}
		if carried == nil {
			carried = s.assets(w.before)
		}
		p.out.Items = append(p.out.Items, l.StatementLine)
		if len(p.out.Items) == p.limit {
			p.last = spotCursor{network: s.n.Name, owner: s.index, spot: l.spot, given: l.index + 1}.text(s, p.asked)
		}
	}
	return carried, nil
}

// statementTotal returns a number of lines that an account has at most.
func (a *Archive) statementTotal(ctx context.Context, s *sheet) (n uint64, err error) {
	if !s.known {
		return 0, nil
	}
	count := func(key ledger.Key) error {
		if s.end.next == s.open.next || s.filtered && key.Kind == ledger.KeyToken && key.Val[len(s.owner):] != s.asset {
			return nil
		}
		some, err := a.store.Count(ctx, s.n.ID, key, s.open.next, s.end.next-1)
		n += some
		return err
	}
	if !s.filtered || s.asset == "" {
		if err := count(ledger.Key{Kind: ledger.KeyAddress, Val: s.owner}); err != nil {
			return 0, err
		}
	}
	for key, err := range a.store.Keys(ctx, s.n.ID, ledger.Key{Kind: ledger.KeyToken, Val: s.owner}, "") {
		if err == nil {
			err = count(key)
		}
		if err != nil {
			return 0, err
		}
	}
	for e, err := range a.expiries(ctx, s) {
		if err != nil {
			return 0, err
		}
		n += uint64(len(e.Holds))
	}
	return n, nil
}

// WholeStatement is a request that is understood: the accounts, and where the page begins.
type WholeStatement struct {
	a        *Archive
	address  string // as it was asked for
	asset    string // as it was asked for
	sheets   []*sheet
	searched []Extent
	begin    int // the account of the cursor
	at       spotCursor
}

// Missing returns an error that wraps storage.ErrIncomplete and says what of the period is missing; nil: nothing.
func (st *WholeStatement) Missing() error {
	var why []string
	for _, s := range st.sheets {
		if !s.whole() {
			why = append(why, s.n.Name+": "+strings.Join(s.lacks(), "; "))
		}
	}
	if why == nil {
		return nil
	}
	return incompleteError(strings.Join(why, "; "))
}

type incompleteError string

func (e incompleteError) Error() string { return storage.ErrIncomplete.Error() + ": " + string(e) }
func (e incompleteError) Unwrap() error { return storage.ErrIncomplete }

// OpenStatement finds out which networks read the address, and what of the period each holds. Its errors are those of
// [Archive.Statement].
func (a *Archive) OpenStatement(ctx context.Context, req StatementRequest) (*WholeStatement, error) {
	if err := req.check(); err != nil {
		return nil, err
	}
	at, err := parseSpotCursor(req.Cursor, req.asked())
	if err != nil {
		return nil, err
	}
	asked, err := a.prepare(ctx, SearchRequest{Networks: req.Networks, Query: lang.Ident{Field: "addr", Text: req.Address, Quoted: true}.String()})
	if err != nil {
		return nil, err
	}
	st := &WholeStatement{a: a, address: req.Address, asset: req.Asset, at: at, searched: []Extent{}, begin: -1}
	read := req.Asset == "" || req.Asset == BaseCoins || len(asked.networks) == 0
	for _, n := range asked.networks {
		asset, ok := "", true
		if req.Asset != "" && req.Asset != BaseCoins {
			asset, ok = n.Codec.ParseAsset(req.Asset)
		}
		if !ok {
			continue
		}
		read = true
		if err := a.sheets(ctx, n.Network, asset, req, st); err != nil {
			return nil, err
		}
	}
	switch {
	case !read:
		return nil, &BadAssetError{req.Asset, req.Networks}
	case req.Cursor == "":
		st.begin = 0
	case st.begin < 0:
		return nil, fmt.Errorf("%s: %w", Quote(req.Cursor), ErrBadCursor)
	}
	return st, nil
}

// sheets adds the accounts of one network.
func (a *Archive) sheets(ctx context.Context, n Network, asset string, req StatementRequest, st *WholeStatement) error {
	keys, err := a.identifiers(ctx, n, req.Address)
	if err != nil {
		return err
	}
	keys = ofField(keys, "addr")
	if len(keys) == 0 {
		return nil
	}
	e, err := a.Extent(ctx, n)
	if err != nil {
		return err
	}
	st.searched = append(st.searched, e)
	for i, key := range keys {
		s := &sheet{n: n, owner: key.Val, index: i, asset: asset, filtered: req.Asset != ""}
		if err := a.fill(ctx, s, req.From, req.To); err != nil {
			return err
		}
		if st.at.network == n.Name && st.at.owner == i {
			if err := a.resume(ctx, s, st.at); err != nil {
				return fmt.Errorf("%s: %w", Quote(req.Cursor), err)
			}
			st.begin = len(st.sheets)
		}
		if err := a.judge(ctx, s); err != nil {
			return err
		}
		st.sheets = append(st.sheets, s)
	}
	return nil
}

// account describes a sheet.
func (s *sheet) account() StatementAccount {
	out := StatementAccount{Network: s.n.Name, Address: s.address, Final: s.final, Complete: s.whole(), Why: strings.Join(s.lacks(), "; ")}
	if s.opening != nil {
		out.Opening = s.balance(s.open, s.opening)
	}
	if s.closing != nil {
		out.Closing = s.balance(s.end, s.closing)
	}
	return out
}

// balance describes what an account held at a point.
func (s *sheet) balance(at point, held map[string]ledger.Amount) *StatementBalance {
	out := &StatementBalance{Assets: s.assets(held)}
	if at.next > 0 {
		seq := at.next - 1
		out.Seq = &seq
	}
	if at.ms != 0 {
		t := timeText(at.ms)
		out.Time = &t
	}
	return out
}

// assets lists the base coin and what there is of tokens, or the one asset that was asked for.
func (s *sheet) assets(held map[string]ledger.Amount) []StatementAsset {
	out := []StatementAsset{}
	assets := []string{s.asset}
	if !s.filtered {
		assets = []string{""}
		for asset, amount := range held {
			if asset != "" && amount.Sign() != 0 {
				assets = append(assets, asset)
			}
		}
	}
	slices.Sort(assets)
	for _, asset := range assets {
		out = append(out, StatementAsset{s.assetText(asset), held[asset].String()})
	}
	return out
}

func (s *sheet) assetText(asset string) string {
	if asset == "" {
		return BaseCoins
	}
	return s.n.Codec.FormatAsset(asset)
}

// unknown takes note of why something is not known; other errors it gives back.
func (s *sheet) unknown(err error) error {
	var no *NoBalanceError
	if !errors.As(err, &no) {
		return err
	}
	s.why = append(s.why, no.Why+"; "+no.Hint())
	return nil
}
