package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// cost is what work took. On a machine that others use too, CPU tells more than the wall clock.
type cost struct{ cpu, wall time.Duration }

func (c cost) add(o cost) cost { return cost{c.cpu + o.cpu, c.wall + o.wall} }

// processCPU is user and system time of all threads so far.
func processCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // the arguments are constants
	}
	return rusageCPU(&u)
}

func rusageCPU(u *syscall.Rusage) time.Duration {
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// settle waits until nothing works in the background, flushes and compactions above all: so that each side pays
// for its own, and none for what the other left behind.
func settle() {
	const look, idle = 10 * time.Millisecond, 400 * time.Microsecond
	quiet := 0
	for end := time.Now().Add(time.Minute); quiet < 3 && time.Now().Before(end); quiet++ {
		before := processCPU()
		time.Sleep(look)
		if processCPU()-before > idle {
			quiet = -1
		}
	}
}

// timed runs f alone. Its CPU is counted until the process is idle again, its time until f returns.
func timed(f func()) cost {
	runtime.GC()
	settle()
	cpu, begin := processCPU(), time.Now()
	f()
	wall := time.Since(begin)
	settle()
	return cost{processCPU() - cpu, wall}
}

// duel is a floor beside ours over several rounds.
type duel struct{ floor, ours []cost }

func total(all []cost) (sum cost) {
	for _, c := range all {
		sum = sum.add(c)
	}
	return sum
}

// ratios returns the speed of ours as a part of the floor's, by CPU and by wall clock: the medians over all rounds.
func (d *duel) ratios() (cpu, wall float64) {
	var cpus, walls []float64
	for i := range d.ours {
		cpus = append(cpus, d.floor[i].cpu.Seconds()/d.ours[i].cpu.Seconds())
		walls = append(walls, d.floor[i].wall.Seconds()/d.ours[i].wall.Seconds())
	}
	return median(cpus), median(walls)
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2
	}
	return all[len(all)/2]
}

// round runs floor and ours once, which of them comes first changes from round to round.
func (d *duel) round(floor, ours func()) {
	if len(d.ours)%2 == 0 {
		d.floor = append(d.floor, timed(floor))
		d.ours = append(d.ours, timed(ours))
		return
	}
	o := timed(ours)
	d.floor, d.ours = append(d.floor, timed(floor)), append(d.ours, o)
}

// sheet is the result, as docs/performance.md shows it.
type sheet struct{ rows [][]string }

func (t *sheet) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *sheet) write(w io.Writer) {
	for i, r := range t.rows {
		fmt.Fprint(w, "|")
		for _, c := range r {
			fmt.Fprintf(w, " %s |", c)
		}
		fmt.Fprintln(w)
		if i == 0 {
			for range r {
				fmt.Fprint(w, "|---")
			}
			fmt.Fprintln(w, "|")
		}
	}
}

// duelRow adds a row of floor and ours.
func (t *sheet) duelRow(work, data string, d *duel, records int, goal float64) {
	cpu, wall := d.ratios()
	f, o := total(d.floor), total(d.ours)
	n := float64(records)
	t.add(data, work, fmt.Sprintf("%.1f µs", 1e6*f.cpu.Seconds()/n), fmt.Sprintf("%.1f µs", 1e6*o.cpu.Seconds()/n),
		fmt.Sprintf("%.0f", n/o.cpu.Seconds()), fmt.Sprint(len(d.ours)),
		fmt.Sprintf("%.0f %%", 100*cpu), fmt.Sprintf("%.0f %%", 100*wall), verdict(cpu >= goal, fmt.Sprintf("≥ %.0f %%", 100*goal)))
}

func verdict(good bool, goal string) string {
	if good {
		return goal + " ✓"
	}
	return goal + " ✗"
}
