package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"permanode/query/access"
)

const keyNewHelp = `Makes a key, prints it once on standard output, and adds its SHA-256 with the name and the role to a keys file,
which it makes if there is none. The key itself is kept nowhere: who loses it gets another one.

Roles: reader (everything that reads), auditor (and the access trail), operator (and checkpoints of the store), admin
(everything). Two keys may have one name: to replace a key make the new one, hand it out, then delete the line of the old
one. A running service reads the file again on SIGHUP.`

func (p *program) keyCommand() *cobra.Command {
	return group("key", "Make keys for the API", "", p.keyNewCommand())
}

func (p *program) keyNewCommand() *cobra.Command {
	var name, role, file string
	c := &cobra.Command{
		Use: "new --name NAME --role ROLE --file FILE", Short: "Make a key: print it once, and add its SHA-256 to a keys file", Long: keyNewHelp, Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			switch {
			case name == "":
				return usagef("say who will have the key, for example --name ledger-team", "--name is missing")
			case role == "":
				return usagef("write reader, auditor, operator or admin", "--role is missing")
			case file == "":
				return usagef("name the file that the config names as api.keys_file", "--file is missing")
			}
			may, err := access.ParseRole(role)
			if err != nil {
				return usagef("permanode help key new explains the roles", "--role %w", err)
			}
			return p.newKey(file, name, may)
		},
	}
	c.Flags().StringVar(&name, "name", "", "who has the key; it is in the access trail and the log")
	c.Flags().StringVar(&role, "role", "", "what it may do: reader, auditor, operator or admin")
	c.Flags().StringVar(&file, "file", "", "keys file to add to")
	return c
}

func (p *program) newKey(file, name string, role access.Role) error {
	key, err := access.Add(file, name, role)
	var path *fs.PathError
	switch {
	case errors.As(err, &path), errors.Is(err, os.ErrPermission):
		return err
	case err != nil:
		return usagef("docs/access.md shows a keys file", "%w", err)
	}
	if err := p.printf("%s\n", key); err != nil {
		return errors.Join(err, errors.New("the key was not printed: delete the last entry of the keys file and make another"))
	}
	p.say("this is the only time that the key is shown: %s holds its SHA-256, as %s with the role %s", file, name, role)
	p.say("a running service takes it after SIGHUP (systemctl reload permanode, or kill -HUP PID)")
	return nil
}
