package query

import (
	"bufio"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
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
)

// StatementPolicy is the Content-Security-Policy of the page of [WholeStatement.HTML]: it loads nothing and runs nothing.
// Its style is named by hash.
func StatementPolicy() string {
	sum := sha256.Sum256([]byte(statementStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// StatementHead is what the head of a page says of who asked for it, and for what.
type StatementHead struct {
	From, To string // as they were asked for
	Version  string // of the program
	By       string // who asked
}

// printHead is what the head of the page says.
type printHead struct {
	StatementHead
	Style     template.CSS
	Address   string // as it was asked for
	Asset     string
	Made      string
	Complete  bool
	Coverages []Extent
}

// printAccount is what is said of an account before its lines.
type printAccount struct {
	StatementAccount
	Identity string
	Era      string
}

// HTML writes all accounts as one page that stands for itself: no script, nothing to load. rows is kept at the number of
// lines written.
func (st *WholeStatement) HTML(ctx context.Context, w io.Writer, head StatementHead, rows *uint64) error {
	buf := bufio.NewWriterSize(w, tableBuffer)
	top := printHead{
		Style: template.CSS(statementStyle), StatementHead: head, Address: st.address, Asset: st.asset,
		Made: time.Now().UTC().Format(time.RFC3339), Complete: st.Missing() == nil, Coverages: st.searched,
	}
	if err := statementForm.ExecuteTemplate(buf, "head", top); err != nil {
		return err
	}
	for _, s := range st.sheets {
		if err := st.a.printSheet(ctx, buf, s, rows); err != nil {
			return err
		}
	}
	if err := statementForm.ExecuteTemplate(buf, "foot", *rows); err != nil {
		return err
	}
	return buf.Flush()
}

func (a *Archive) printSheet(ctx context.Context, w io.Writer, s *sheet, rows *uint64) error {
	account := printAccount{s.account(), s.n.Identity, string(s.n.Era)}
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
	return statementForm.ExecuteTemplate(w, "end", account)
}

// printLine is a line with its roles in words.
type printLine struct {
	StatementLine
	As string
}
