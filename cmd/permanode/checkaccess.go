package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"permanode/query/trail"
	"permanode/storage"
	"permanode/storage/check"
	"permanode/storage/pebblestore"
)

// accessFolder is where the service records who asked what.
const accessFolder = "access"

// checkAccess verifies the access trail alone. The service that writes it may be running.
func (p *program) checkAccess(ctx context.Context, f *checkFlags) error {
	dir, _, err := f.where()
	if err != nil {
		return err
	}
	changed, err := pebblestore.CompareBeside(p.fs, dir, accessFolder)
	if err != nil {
		return err
	}
	for _, c := range changed {
		if err := p.printFinding(check.Finding{
			File: c.Name, What: "access", Why: "sums: not as the last clean stop left it: " + c.Why, Hint: "put back the file that was there from a copy",
		}, f.json); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(dir, accessFolder)); err != nil && len(changed) == 0 {
		return usagef("permanode run and demo keep one in their data directory", "no access trail: %w", err)
	}
	err = p.checkTrail(ctx, dir, f.json)
	if len(changed) > 0 {
		err = errors.Join(err, fmt.Errorf("%s of the access trail not as the last clean stop left it: %w", countText(len(changed), "file"), storage.ErrCorrupt))
	}
	return err
}

// trailChanges says what differs from what the last clean stop left.
func trailChanges(changed []storage.FileFault) (wrong []string) {
	for _, f := range changed {
		wrong = append(wrong, fmt.Sprintf("%s is not as the last clean stop left it: %s", f.Name, f.Why))
	}
	return wrong
}

// checkTrail verifies the access trail in dir, if there is one.
func (p *program) checkTrail(ctx context.Context, dir string, asJSON bool) error {
	var broken error // of standard output
	sum, err := trail.Verify(ctx, filepath.Join(dir, accessFolder), func(f trail.Fault) {
		broken = errors.Join(broken, p.printFinding(trailFinding(f), asJSON))
	})
	if errors.Is(err, fs.ErrNotExist) {
		p.say("there is no access trail: no service that keeps one ran here, or it was taken away")
		return nil
	}
	if err != nil {
		return err
	}
	if sum.Lines == 0 {
		p.say("checked the access trail: no lines: %s", countText(sum.Faults, "fault"))
	} else {
		p.say("checked the access trail: lines %d to %d of %s: %s", sum.First, sum.Last, countText(sum.Days, "day"), countText(sum.Faults, "fault"))
		p.say("its head, to be noted elsewhere: line %d, SHA-256 %s", sum.Last, sum.SHA256)
	}
	if sum.Kills > 0 {
		p.say("%s of the service had no stop before it: up to a second of calls before each may not be in the trail", countText(sum.Kills, "start"))
	}
	if sum.Faults > 0 {
		err = fmt.Errorf("%s in the access trail, none of which touches what is archived: %w", countText(sum.Faults, "fault"), storage.ErrCorrupt)
	}
	return errors.Join(err, broken)
}

func trailFinding(f trail.Fault) check.Finding {
	key := ""
	switch {
	case f.Line > 0 && f.Seq > 0:
		key = fmt.Sprintf("line %d, number %d", f.Line, f.Seq)
	case f.Line > 0:
		key = fmt.Sprintf("line %d", f.Line)
	}
	return check.Finding{File: filepath.Join(accessFolder, f.File), What: "access", Key: key, Why: f.Kind + ": " + f.What, Hint: f.Hint()}
}
