package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"permanode/query"
	"permanode/storage"
)

// Media types of tables of rows.
const (
	mediaNDJSON = "application/x-ndjson"
	mediaCSV    = "text/csv"
)

// export writes rows without a limit to their number.
func (a *service) export(ctx context.Context, q *request) (writer, error) {
	networks, err := a.Archive.Select(ctx, q.params["network"])
	if err != nil {
		return nil, err
	}
	req := query.ExportRequest{Networks: networks, Query: q.params["q"], Format: q.params["format"], After: q.params["after"], Wait: true}
	switch req.Format {
	case "":
		if req.Format = query.NDJSON; preferred(q.header, mediaNDJSON, mediaCSV) == mediaCSV {
			req.Format = query.CSV
		}
	case query.NDJSON, query.CSV:
	default:
		return nil, problem("bad-parameter", "format=%s is no format of an export: use %s or %s", query.Quote(req.Format), query.NDJSON, query.CSV)
	}
	e, err := a.Archive.OpenExport(ctx, req)
	if err != nil {
		return nil, err
	}
	q.noted.query = e.Query
	return func(w http.ResponseWriter) error {
		return sendRows(w, q, req.Format, e.Missing, func(out io.Writer) (query.Exported, error) {
			return e.Write(ctx, out, func(_, _, rows uint64) { q.noted.rows = rows })
		})
	}, nil
}

// sendRows sends an answer whose length nobody knows beforehand, as do writes it. A client sees whether it is whole: by the
// trailers X-Rows and X-Sha256, in NDJSON by the last line too, and what broke off has no end. Over a gap it is whole, and
// says what is missing: beforehand in X-Coverage-Complete, in the end in the trailer X-Incomplete. Where the index lacks
// what is held, X-Unsearched says so beforehand, and the answer breaks off.
func sendRows(w http.ResponseWriter, q *request, format string, missing error, do func(io.Writer) (query.Exported, error)) error {
	var unsearched *query.UnsearchedError
	out := &streamed{w: w, ctl: http.NewResponseController(w), headers: func(h http.Header) {
		h.Set("Cache-Control", "no-store")
		h.Set("X-Coverage-Complete", strconv.FormatBool(missing == nil))
		if errors.As(missing, &unsearched) {
			h.Set("X-Unsearched", headerText(missing))
		}
		h.Set("Content-Type", mediaNDJSON)
		if format == query.CSV {
			h.Set("Content-Type", mediaCSV+"; charset=utf-8; header=present")
		}
		h.Set("Trailer", "X-Rows, X-Sha256, X-Incomplete")
	}}
	if q.http.Method == http.MethodHead {
		out.begin()
		w.WriteHeader(http.StatusOK)
		return nil
	}
	done, err := do(out)
	switch {
	case errors.As(err, &unsearched):
		if !out.begun { // no row was found in what was searched: it breaks off all the same
			out.begin()
			w.WriteHeader(http.StatusOK)
			err = errors.Join(err, out.ctl.Flush())
		}
		return err
	case err != nil && !errors.Is(err, storage.ErrIncomplete):
		return err
	}
	if err != nil {
		w.Header().Set("X-Incomplete", headerText(err))
	}
	w.Header().Set("X-Rows", strconv.FormatUint(done.Rows, 10))
	w.Header().Set("X-Sha256", done.SHA256)
	return nil
}

// headerText says what is missing in a header: one line of printable ASCII, not too long.
func headerText(missing error) string {
	const most = 1000
	s := strings.TrimPrefix(missing.Error(), storage.ErrIncomplete.Error()+": ")
	if len(s) > most {
		s = s[:most] + " and more"
	}
	quoted := strconv.QuoteToASCII(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// streamed hands each piece on to the client at once. The headers go out before the first one.
type streamed struct {
	w       http.ResponseWriter
	ctl     *http.ResponseController
	headers func(http.Header)
	begun   bool
}

func (s *streamed) begin() {
	if !s.begun {
		s.begun = true
		s.headers(s.w.Header())
	}
}

func (s *streamed) Write(b []byte) (int, error) {
	s.begin()
	n, err := s.w.Write(b)
	if err == nil {
		err = s.ctl.Flush()
	}
	return n, err
}

// columns describes the tables that are given as CSV.
func (a *service) columns(context.Context, *request) (writer, error) {
	return sendJSON(http.StatusOK, struct {
		Tables []tableColumns `json:"tables"`
	}{tables}, nil)
}

// tableColumns are the columns of one table, from left to right.
type tableColumns struct {
	Table   string         `json:"table"`
	Columns []query.Column `json:"columns"`
}

// tables are all that there is as CSV.
var tables = []tableColumns{{"export", query.ExportColumns}, {"statement", query.StatementColumns}}
