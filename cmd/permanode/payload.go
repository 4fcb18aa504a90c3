package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"permanode/query"
	"permanode/query/client"
)

const payloadGetHelp = `Writes the exact bytes of a payload, found by its SHA-256 (64 hex digits, with 0x or sha256: or without) or by the CID of
one raw block (bafkrei…). They are cut from the record that holds them and hashed before they are written; with -o the
file appears when it is whole, and not before. permanode get CID|SHA256 lists the records that hold it.

Exit status: 0 written; 2 not the name of a payload; 3 the stored bytes are damaged; 5 not in the archive, with what was
searched. The CID of a tree of blocks (larger content) is in no archive yet: that is 5, too.`

func (p *program) payloadCommand() *cobra.Command {
	return group("payload", "Payloads by their hash", "Payloads by their hash: what somebody wrote into a record.", p.payloadGetCommand())
}

func (p *program) payloadGetCommand() *cobra.Command {
	var d dataFlags
	out := ""
	c := &cobra.Command{
		Use: "get CID|SHA256 [-o FILE]", Short: "Write the bytes of a payload", Long: payloadGetHelp,
		Args: oneArg("CID|SHA256"),
		RunE: func(c *cobra.Command, args []string) error {
			remote, err := p.remote(&d)
			if err != nil {
				return err
			}
			if remote != nil {
				defer remote.Close()
				return p.writePayload(c.Context(), out, fromService{remote, d.network}, args[0])
			}
			return p.read(c, &d, func(a *query.Archive, networks []query.Network) error {
				return p.writePayload(c.Context(), out, fromArchive{a, networks}, args[0])
			})
		},
	}
	d.add(c, false)
	d.addServer(c)
	c.Flags().StringVarP(&out, "out", "o", "", "file to write (default: standard output)")
	return c
}

// payloads gives the bytes of a payload, which hash to its name.
type payloads interface {
	payload(ctx context.Context, name string) ([]byte, error)
}

type fromArchive struct {
	*query.Archive
	networks []query.Network
}

func (a fromArchive) payload(ctx context.Context, name string) ([]byte, error) {
	c, err := a.Payload(ctx, a.networks, name)
	return c.Raw, err
}

type fromService struct {
	*client.Client
	network string
}

func (s fromService) payload(ctx context.Context, name string) ([]byte, error) {
	return s.Payload(ctx, name, s.network)
}

// writePayload asks before it makes a file.
func (p *program) writePayload(ctx context.Context, out string, from payloads, name string) error {
	raw, err := from.payload(ctx, name)
	if err != nil {
		return err
	}
	return p.writeTo(out, func(w io.Writer) error {
		_, err := w.Write(raw)
		return err
	})
}
