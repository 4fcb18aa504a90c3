package api

import (
	"context"
	"errors"
	"io"
	"net/http"

	"permanode/query"
)

// statementParams are the parameters of the statement route.
var statementParams = []string{"network", "from", "to", "asset", "format", "limit", "cursor"}

// statementOf answers with what an address gained and lost: a page of it, or all as a table or to be printed.
func (a *service) statementOf(ctx context.Context, q *request) (writer, error) {
	req, err := a.statementRequest(ctx, q)
	if err != nil {
		return nil, err
	}
	q.noted.query = "statement of " + req.Address
	switch format := statementFormat(q); format {
	case formatJSON:
		st, err := a.Archive.Statement(ctx, req)
		if err != nil {
			return nil, statementProblem(err)
		}
		q.noted.rows = uint64(len(st.Items))
		send, err := q.page(st, st.NextCursor)
		return varies(send), err
	case formatCSV, formatHTML:
		if q.params["limit"] != "" || q.params["cursor"] != "" {
			return nil, problem("bad-parameter", "limit and cursor belong to format=json: format=%s is always whole", format)
		}
		st, err := a.Archive.OpenStatement(ctx, req)
		if err != nil {
			return nil, statementProblem(err)
		}
		if format == formatHTML {
			return varies(a.statementPage(ctx, q, st)), nil
		}
		return varies(func(w http.ResponseWriter) error {
			return sendRows(w, q, query.CSV, st.Missing(), func(out io.Writer) (query.Exported, error) {
				return st.CSV(ctx, out, &q.noted.rows)
			})
		}), nil
	default:
		return nil, problem("bad-parameter", "format=%s is no format of a statement: use json, csv or html", query.Quote(format))
	}
}

func (a *service) statementRequest(ctx context.Context, q *request) (req query.StatementRequest, err error) {
	req = query.StatementRequest{Address: q.vars["addr"], Asset: q.params["asset"], Cursor: q.params["cursor"]}
	if req.Networks, err = a.Archive.Select(ctx, q.params["network"]); err != nil {
		return req, err
	}
	if req.Limit, err = parseLimit(q.params); err != nil {
		return req, err
	}
	if req.From, err = query.ParseFrom(q.params["from"]); err != nil {
		return req, problem("bad-parameter", "from=%s: %v", query.Quote(q.params["from"]), err)
	}
	if req.To, err = query.ParseTo(q.params["to"]); err != nil {
		return req, problem("bad-parameter", "to=%s: %v", query.Quote(q.params["to"]), err)
	}
	return req, nil
}

// statementProblem maps what is wrong with a request for a statement.
func statementProblem(err error) error {
	var period *query.PeriodError
	var asset *query.BadAssetError
	switch {
	case errors.As(err, &period):
		return problem("bad-parameter", "%v: from and to both belong to it", period)
	case errors.As(err, &asset):
		return problem("bad-parameter", "asset: %v; %s", asset, asset.Hint())
	}
	return asID(err)
}

// varies says that the answer depends on the Accept header.
func varies(send writer) writer {
	return func(w http.ResponseWriter) error {
		w.Header().Add("Vary", "Accept")
		return send(w)
	}
}

// statementPage sends all accounts as one page that can be printed.
func (a *service) statementPage(ctx context.Context, q *request, st *query.WholeStatement) writer {
	return func(w http.ResponseWriter) error {
		out := &streamed{w: w, ctl: http.NewResponseController(w), headers: func(h http.Header) {
			h.Set("Content-Type", mediaHTML+"; charset=utf-8")
			h.Set("Cache-Control", "no-store")
			h.Set("Content-Security-Policy", query.StatementPolicy())
			h.Set("Referrer-Policy", "no-referrer")
		}}
		if q.head {
			out.begin()
			w.WriteHeader(http.StatusOK)
			return nil
		}
		head := query.StatementHead{From: q.params["from"], To: q.params["to"], Version: a.Version, By: q.caller.Name}
		return st.HTML(ctx, out, head, &q.noted.rows)
	}
}
