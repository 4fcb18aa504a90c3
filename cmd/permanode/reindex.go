package main

import "context"

// rebuildOnSignal makes the index again, network by network, each time the operator sends the service the signal for it
// (SIGUSR1, where there is one), while the service goes on and answers from the old index. It ends with ctx.
func (s *service) rebuildOnSignal(ctx context.Context) {
	onSignal(ctx, s.told.rebuild, func() {
		if s.index == nil {
			s.log.Warn("there is no index to rebuild: index.text is false")
		}
		for _, x := range s.followers {
			s.log.Info("rebuilding the index; the old one answers until the new one was compared with the store", "network", x.net.Name)
			m := s.meter("units of " + x.net.Name + " indexed again")
			err := s.index.Rebuild(ctx, x.net, func(done, total uint64) { m.report(done, total, "") })
			m.end()
			if ctx.Err() != nil {
				s.log.Warn("the rebuild of the index was interrupted; the next one goes on with it", "network", x.net.Name)
				return
			}
			if err != nil {
				s.log.Error("the index was not rebuilt; the old one stays in use", "network", x.net.Name, "err", err)
				continue
			}
			s.log.Info("the index was rebuilt", "network", x.net.Name, "documents", s.index.Status(x.net.ID).Docs)
		}
	})
}
