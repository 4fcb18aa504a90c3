package query

import (
	"context"
	"errors"
)

// AccountBalance is a Balance, or why there is none.
type AccountBalance struct {
	Network  string  `json:"network"`
	Address  string  `json:"address"`
	Seq      *uint64 `json:"seq"`
	Time     *string `json:"time"`
	Coins    *string `json:"coins"`
	Tokens   []Token `json:"tokens"`
	Complete bool    `json:"complete"`      // it is all that the address held
	Why      string  `json:"why,omitempty"` // why it is not, or why the rest is null
}

// Balances returns what each address of n that text may name held at a moment, in the order of their readings; none where
// text names no address there.
func (a *Archive) Balances(ctx context.Context, n Network, text string, at Moment) (all []AccountBalance, err error) {
	keys, err := a.identifiers(ctx, n, text)
	if err != nil {
		return nil, err
	}
	for _, key := range ofField(keys, "addr") {
		b, err := a.accountBalance(ctx, n, key.Val, at)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

func (a *Archive) accountBalance(ctx context.Context, n Network, owner string, at Moment) (AccountBalance, error) {
	b, err := a.Balance(ctx, n, owner, at)
	var unknown *NoBalanceError
	if errors.As(err, &unknown) {
		return AccountBalance{
			Network: n.Name, Address: n.Codec.FormatOwner(owner, n.Rules), Tokens: []Token{}, Why: unknown.Why + "; " + unknown.Hint(),
		}, nil
	}
	if err != nil {
		return AccountBalance{}, err
	}
	return AccountBalance{
		Network: b.Network, Address: b.Address, Seq: &b.Seq, Time: &b.Time, Coins: &b.Coins, Tokens: b.Tokens,
		Complete: b.Missing == "", Why: b.Missing,
	}, nil
}
