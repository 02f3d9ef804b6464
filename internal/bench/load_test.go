package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// connections is how many clients ask at once, each over one connection and
// each waiting for its answer.
const connections = 64

// target is a server under load: requests holds, for each connection, the
// bytes of a request, and answers are what a right answer contains.
type target struct {
	name     string
	address  string
	requests [][]byte
	answer   []byte
	conns    []*connection
}

type connection struct {
	net.Conn
	r *bufio.Reader
}

func (g *target) dial(t *testing.T) {
	t.Helper()
	for range connections {
		c, err := net.Dial("tcp", g.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		g.conns = append(g.conns, &connection{c, bufio.NewReaderSize(c, 4096)})
	}
}

// round loads the target for d and returns answers per second.
func (g *target) round(t *testing.T, d time.Duration) float64 {
	t.Helper()
	var stop atomic.Bool
	var answers atomic.Int64
	var failed atomic.Pointer[error]
	var clients sync.WaitGroup
	began := time.Now()
	for i, c := range g.conns {
		clients.Go(func() {
			request, n := g.requests[i%len(g.requests)], int64(0)
			for !stop.Load() {
				err := c.ask(request, g.answer)
				if err != nil {
					failed.CompareAndSwap(nil, &err)
					break
				}
				n++
			}
			answers.Add(n)
		})
	}
	time.Sleep(d)
	stop.Store(true)
	clients.Wait()
	took := time.Since(began)
	if err := failed.Load(); err != nil {
		t.Fatalf("%s: %v", g.name, *err)
	}
	return float64(answers.Load()) / took.Seconds()
}

var contentLength = []byte("Content-Length: ")

// ask sends one request and checks its answer. It does no more than that, so
// that the client's own work weighs little in what is measured.
func (c *connection) ask(request, want []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	status, err := c.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	ok := bytes.HasPrefix(status, []byte("HTTP/1.1 200"))
	length := -1
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if v, is := bytes.CutPrefix(line, contentLength); is {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(v))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return fmt.Errorf("an answer without Content-Length")
	}
	body, err := c.r.Peek(length)
	if err != nil {
		return err
	}
	if !ok || !bytes.Contains(body, want) {
		return fmt.Errorf("unexpected answer: %s", body)
	}
	_, err = c.r.Discard(length)
	return err
}

// sample is one round of one target.
type sample struct {
	rate float64       // answers per second
	cost time.Duration // processor time per answer, the client's included
	had  float64       // share of the machine's processors that this process had
}

// measure is a round with what it cost.
func (g *target) measure(t *testing.T, d time.Duration) sample {
	t.Helper()
	cpu, began := processorTime(t), time.Now()
	rate := g.round(t, d)
	cpu, took := processorTime(t)-cpu, time.Since(began)
	return sample{
		rate: rate,
		cost: time.Duration(float64(cpu) / (rate * took.Seconds())),
		had:  cpu.Seconds() / took.Seconds() / float64(runtime.NumCPU()),
	}
}

const (
	rounds  = 25
	perSide = 250 * time.Millisecond

	// quiet is the share of the processors that the trivial handler gets on a
	// machine that has little else to do. Rounds below it say more about the
	// neighbours than about us.
	quiet = 0.8
)

// attempts is how often a ratio below its bound is measured again: what
// disturbs a measurement only ever makes it worse.
const attempts = 8

// hold loads subject and base in turn and fails the test where subject answers
// less than bound of base's answers per second: the median of the rounds on a
// machine that has little else to do. Where neighbours took the machine all the
// time, it says so and holds processor time for each answer, which they disturb
// less.
func hold(t *testing.T, subject, base *target, bound float64) {
	t.Helper()
	subject.dial(t)
	base.dial(t)
	var rate, cost float64
	quiet := false
	for i := range attempts {
		r, c, q := compare(t, subject, base)
		cost = max(cost, c)
		if q {
			quiet, rate = true, max(rate, r)
		}
		if q && rate >= bound || !quiet && i > 0 && cost >= bound {
			return
		}
	}
	switch {
	case quiet:
		t.Errorf("%s answers %.2f of %s, must be at least %.2f", subject.name, rate, base.name, bound)
	case cost < bound:
		t.Errorf("%s is %.2f of %s by processor time, must be at least %.2f", subject.name, cost, base.name, bound)
	}
}

// compare is one measurement: the median ratios of answers per second and of
// processor time, and whether the machine was quiet enough for the first.
func compare(t *testing.T, subject, base *target) (rate, cost float64, ok bool) {
	t.Helper()
	subject.measure(t, perSide)
	base.measure(t, perSide)
	var rates, costs, subjectRate, baseRate, had []float64
	var subjectCost, baseCost []time.Duration
	for i := range rounds {
		var s, b sample
		if i%2 == 0 { // whoever comes second may find a warmer machine
			s = subject.measure(t, perSide)
			b = base.measure(t, perSide)
		} else {
			b = base.measure(t, perSide)
			s = subject.measure(t, perSide)
		}
		if b.had >= quiet {
			rates = append(rates, s.rate/b.rate)
		}
		had = append(had, b.had)
		costs = append(costs, float64(b.cost)/float64(s.cost))
		subjectRate, baseRate = append(subjectRate, s.rate), append(baseRate, b.rate)
		subjectCost, baseCost = append(subjectCost, s.cost), append(baseCost, b.cost)
	}
	t.Logf("%-34s %6.0f answers/s, %v of processor time each, client included", subject.name, median(subjectRate), median(subjectCost).Round(time.Microsecond))
	t.Logf("%-34s %6.0f answers/s, %v of processor time each, client included", base.name, median(baseRate), median(baseCost).Round(time.Microsecond))
	t.Logf("ratio by processor time %.2f (rounds %.2f to %.2f)", median(costs), slices.Min(costs), slices.Max(costs))
	if len(rates) < rounds/3 {
		t.Logf("no ratio by rate: other work took the machine, this process had %.0f%% of it", 100*median(had))
		return 0, median(costs), false
	}
	t.Logf("ratio by rate %.2f (%d quiet rounds, %.2f to %.2f)", median(rates), len(rates), slices.Min(rates), slices.Max(rates))
	return median(rates), median(costs), true
}

func median[T int64 | float64 | time.Duration](all []T) T {
	sorted := slices.Clone(all)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}

// listen serves h until the test ends, and returns its address.
func listen(t *testing.T, s *http.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

// trivial is the least that a handler does for a request: it reads the body and
// answers a few bytes. Its server is one that may face strangers, with the
// timeouts of ours: what is compared is what they serve.
func trivial(t *testing.T, requests [][]byte) *target {
	t.Helper()
	answer := []byte("ok\n")
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(answer)
	}), ReadHeaderTimeout: 20 * time.Second, IdleTimeout: 3 * time.Minute}
	return &target{name: "trivial net/http handler", address: listen(t, s), requests: requests, answer: answer}
}

// raw is a request as it goes over the wire.
func raw(t *testing.T, r *http.Request) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
