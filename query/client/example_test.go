package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"

	"permanode/query/client"
	"permanode/storage"
)

// example is a service over a recorded network, and a client of it.
func example() (c *client.Client, done func()) {
	a, err := archiveWithout("")
	if err != nil {
		panic(err)
	}
	srv := httptest.NewServer(service(a))
	if c, err = client.New(srv.URL); err != nil {
		panic(err)
	}
	return c, func() {
		c.Close()
		srv.Close()
	}
}

func ExampleClient_Search() {
	c, done := example()
	defer done()
	var sum client.Summary
	for item, err := range c.Search(context.Background(), client.Question{Query: "tag:INVOICE", Limit: 2}, &sum) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(item.Network, item.Seq, item.Pos, item.Kind)
	}
	fmt.Println(sum.Total.Value, sum.Total.Relation, sum.Complete)
	// Output:
	// recorded 78 1 tagged-data
	// recorded 75 9 tagged-data
	// 63 exact true
}

func ExampleClient_Export() {
	c, done := example()
	defer done()
	var out strings.Builder
	written, err := c.Export(context.Background(), client.Export{Query: "tag:INVOICE"}, &out)
	switch {
	case errors.Is(err, storage.ErrIncomplete):
		fmt.Println("all that is held, and something is missing:", err)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(written.Rows, "rows,", strings.Count(out.String(), "\n"), "lines")
	}
	// Output: 63 rows, 64 lines
}

func ExampleProblem() {
	c, done := example()
	defer done()
	_, err := c.Unit(context.Background(), network, 4711)
	var p *client.Problem
	if errors.As(err, &p) {
		fmt.Println(p.Kind(), p.Status, p.Why, errors.Is(err, storage.ErrNotFound))
	}
	// Output: not-found 404 outside-coverage true
}

func ExampleClient_Stream() {
	c, done := example()
	defer done()
	records := 0
	for m, err := range c.Stream(context.Background(), client.Stream{Query: "tag:INVOICE", Oldest: true}) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		if m.Item != nil {
			if records++; records == 63 {
				break // what comes from now on is told, too
			}
		}
	}
	fmt.Println(records)
	// Output: 63
}
