package query

import (
	"bufio"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"net/http"
	"strings"
	"time"
)

var (
	//go:embed statement.css
	statementStyle string
	//go:embed statement.html
	statementPageForm string

	// statementForm has the parts head, account, line, end and foot of the page, so that a long one is sent as it is made.
	statementForm = template.Must(template.New("statement").Parse(statementPageForm))

	// statementPolicy lets the page load nothing and run nothing. Its style is named by hash.
	statementPolicy = func() string {
		sum := sha256.Sum256([]byte(statementStyle))
		return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	}()
)

// printHead is what the head of the page says.
type printHead struct {
	Style     template.CSS
	Address   string // as it was asked for
	From, To  string
	Asset     string
	Version   string
	By        string
	Made      string
	Complete  bool
	Coverages []Extent
}

// printAccount is what is said of an account before its lines.
type printAccount struct {
	StatementAccount
	Identity string
	Era      string
	Late     bool // Why says more than it did before the lines
}

// statementPrint sends all accounts as one page that stands for itself: no script, nothing to load.
func (a *api) statementPrint(ctx context.Context, q *request, st *statement, req StatementRequest) writer {
	return func(w http.ResponseWriter) error {
		out := &streamed{w: w, ctl: http.NewResponseController(w), headers: func(h http.Header) {
			h.Set("Content-Type", mediaHTML+"; charset=utf-8")
			h.Set("Cache-Control", "no-store")
			h.Set("Content-Security-Policy", statementPolicy)
			h.Set("Referrer-Policy", "no-referrer")
		}}
		if q.head {
			out.begin()
			w.WriteHeader(http.StatusOK)
			return nil
		}
		buf := bufio.NewWriterSize(out, tableBuffer)
		head := printHead{
			Style: template.CSS(statementStyle), Address: req.Address, From: q.params["from"], To: q.params["to"], Asset: req.Asset,
			Version: a.Version, By: q.caller.Name, Made: time.Now().UTC().Format(time.RFC3339), Complete: st.missing() == nil, Coverages: st.searched,
		}
		if err := statementForm.ExecuteTemplate(buf, "head", head); err != nil {
			return err
		}
		for _, s := range st.sheets {
			if err := a.Archive.printSheet(ctx, buf, s, &q.noted.rows); err != nil {
				return err
			}
		}
		if err := statementForm.ExecuteTemplate(buf, "foot", q.noted.rows); err != nil {
			return err
		}
		return buf.Flush()
	}
}

func (a *Archive) printSheet(ctx context.Context, w io.Writer, s *sheet, rows *uint64) error {
	account := printAccount{s.account(), s.n.Identity, string(s.n.Era), false}
	if err := statementForm.ExecuteTemplate(w, "account", account); err != nil {
		return err
	}
	walk, err := a.walker(ctx, s, spotCursor{})
	if err != nil {
		return err
	}
	for l, err := range walk.lines(ctx) {
		if err == nil {
			err = statementForm.ExecuteTemplate(w, "line", printLine{l.StatementLine, strings.Join(l.Roles, ", ")})
		}
		if err != nil {
			return err
		}
		*rows++
	}
	if walk.unread > 0 {
		account.StatementAccount = s.account()
		account.Late = true
	}
	return statementForm.ExecuteTemplate(w, "end", account)
}

// printLine is a line with its roles in words.
type printLine struct {
	StatementLine
	As string
}
