package query

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"golang.org/x/sync/errgroup"
)

const (
	rowsAhead  = 4       // tasks that are read and decoded beside the one that is written
	pieceBytes = 1 << 20 // a task hands its rows on when there are so many bytes of them
)

// task makes rows.
type task struct {
	// rows adds rows to b, and calls full between them: it takes what there is where that is much.
	rows func(ctx context.Context, b *block, full func() error) error
	// written is called when all of them are written.
	written func(rows uint64)
}

// piece is rows of a task, or why there are no more.
type piece struct {
	block
	err error
}

// inOrder writes the rows of the tasks that give hands over, in their order, and makes those of a few tasks at once. A
// client that takes nothing stops all of them: a task has at most two pieces that wait.
func (w *rowWriter) inOrder(ctx context.Context, give func(ctx context.Context, do func(task) error) error) error {
	type running struct {
		pieces  chan piece
		written func(uint64)
	}
	g, ctx := errgroup.WithContext(ctx)
	queue := make(chan running, rowsAhead)
	buffers := sync.Pool{New: func() any { return new([]byte) }} // of blocks: most of what an export would allocate
	emptied := func() []byte { return (*buffers.Get().(*[]byte))[:0] }
	g.Go(guarded(func() error {
		defer close(queue)
		return give(ctx, func(t task) error {
			r := running{make(chan piece, 1), t.written}
			select {
			case queue <- r:
			case <-ctx.Done():
				return ctx.Err()
			}
			g.Go(func() error {
				defer close(r.pieces)
				p := piece{block: block{bytes: emptied()}}
				hand := func() error {
					select {
					case r.pieces <- p:
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				p.err = guarded(func() error {
					return t.rows(ctx, &p.block, func() error {
						if len(p.bytes) < pieceBytes {
							return nil
						}
						err := hand()
						p.block = block{bytes: emptied()}
						return err
					})
				})()
				return hand()
			})
			return nil
		})
	}))
	g.Go(guarded(func() error {
		for r := range queue {
			for p := range r.pieces {
				if p.err != nil {
					return p.err
				}
				if err := w.put(p.block); err != nil {
					return err
				}
				buffers.Put(&p.bytes)
			}
			if err := ctx.Err(); err != nil { // the task may have been stopped
				return err
			}
			r.written(w.rows)
		}
		return nil
	}))
	return g.Wait()
}

// guarded makes an error of a panic in do: in a goroutine of its own it would end the service.
func guarded(do func() error) func() error {
	return func() (err error) {
		defer func() {
			if fault := recover(); fault != nil {
				err = fmt.Errorf("panic: %v\n%s", fault, debug.Stack())
			}
		}()
		return do()
	}
}
