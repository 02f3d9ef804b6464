// Probe is the program inside the test images: each argument pair or verb does
// one observable thing. It is static and needs nothing but the kernel.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "probe: no verb")
		os.Exit(2)
	}
	if err := do(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func arg(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

func do(verb string, args []string) error {
	switch verb {
	case "exit":
		code, err := strconv.Atoi(arg(args, 0))
		if err != nil {
			return err
		}
		os.Exit(code)
	case "echo":
		fmt.Println(strings.Join(args, " "))
	case "env":
		for _, e := range os.Environ() {
			fmt.Println(e)
		}
	case "pwd":
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		fmt.Println(dir)
	case "id":
		groups, err := os.Getgroups()
		if err != nil {
			return err
		}
		fmt.Println(os.Getuid(), os.Getgid(), groups)
	case "hostname":
		name, err := os.Hostname()
		if err != nil {
			return err
		}
		fmt.Println(name)
	case "pid":
		fmt.Println(os.Getpid())
	case "cat":
		for _, name := range args {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			os.Stdout.Write(b)
		}
	case "stdin":
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	case "ls":
		entries, err := os.ReadDir(arg(args, 0))
		if err != nil {
			return err
		}
		for _, e := range entries {
			fmt.Println(e.Name())
		}
	case "write":
		return os.WriteFile(arg(args, 0), []byte(arg(args, 1)), 0o644)
	case "status":
		// status FIELD...: lines of /proc/self/status.
		b, err := os.ReadFile("/proc/self/status")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(b)) {
			for _, f := range args {
				if strings.HasPrefix(line, f+":") {
					fmt.Print(line)
				}
			}
		}
	case "nofile":
		var l syscall.Rlimit
		// The run-time raises the soft limit; the hard one is what was set.
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
			return err
		}
		fmt.Println(l.Max)
	case "both":
		fmt.Println("to stdout")
		fmt.Fprintln(os.Stderr, "to stderr")
	case "long":
		// long N: one line of N bytes, then a line without its newline.
		n, err := strconv.Atoi(arg(args, 0))
		if err != nil {
			return err
		}
		os.Stdout.Write(append(bytes.Repeat([]byte("x"), n), '\n'))
		os.Stdout.WriteString("no newline at end")
	case "flood":
		n, err := strconv.Atoi(arg(args, 0))
		if err != nil {
			return err
		}
		w := bufio.NewWriter(os.Stdout)
		for i := range n {
			fmt.Fprintf(w, "line %d\n", i)
		}
		return w.Flush()
	case "sleep":
		d, err := time.ParseDuration(arg(args, 0))
		if err != nil {
			return err
		}
		fmt.Println("sleeping")
		time.Sleep(d)
	case "trap":
		// trap CODE: exits with CODE at SIGTERM.
		code, err := strconv.Atoi(arg(args, 0))
		if err != nil {
			return err
		}
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Println("ready")
		<-c
		fmt.Println("terminated")
		os.Exit(code)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		time.Sleep(time.Hour)
	case "memory":
		// memory MIB: allocates and touches.
		n, err := strconv.Atoi(arg(args, 0))
		if err != nil {
			return err
		}
		var hold [][]byte
		for range n {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			hold = append(hold, b)
		}
		fmt.Println("allocated", len(hold))
	case "burn":
		d, err := time.ParseDuration(arg(args, 0))
		if err != nil {
			return err
		}
		for end := time.Now().Add(d); time.Now().Before(end); {
		}
		var ru syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
			return err
		}
		fmt.Println(time.Duration(ru.Utime.Nano() + ru.Stime.Nano()).Milliseconds())
	case "spawn":
		// spawn N: starts N sleeping children, prints how many could be.
		n, err := strconv.Atoi(arg(args, 0))
		if err != nil {
			return err
		}
		started := 0
		var failure error
		for range n {
			cmd := exec.Command("/proc/self/exe", "sleep", "30s")
			if failure = cmd.Start(); failure != nil {
				break
			}
			started++
			defer cmd.Process.Kill()
		}
		fmt.Println("started", started)
		if errors.Is(failure, syscall.EAGAIN) {
			fmt.Println("cannot fork")
		}
	case "orphan":
		// orphan: leaves a child that holds the output open.
		cmd := exec.Command("/proc/self/exe", "sleep", "1h")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		fmt.Println("child", cmd.Process.Pid)
	case "terminal":
		// terminal: prints its size at the start and at each change, then
		// the first line typed, and exits with 5.
		size := func() error {
			var ws struct{ rows, columns, x, y uint16 }
			_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, 0, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&ws)))
			if errno != 0 {
				return errno
			}
			fmt.Printf("size %dx%d\n", ws.rows, ws.columns)
			return nil
		}
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGWINCH)
		if err := size(); err != nil {
			return err
		}
		go func() {
			for range c {
				size()
			}
		}()
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil {
			return err
		}
		fmt.Print("got ", line)
		os.Exit(5)
	case "listen":
		l, err := net.Listen("tcp", arg(args, 0))
		if err != nil {
			return err
		}
		fmt.Println("listening")
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			io.WriteString(c, "hello from the listener\n")
			c.Close()
		}
	case "dial":
		c, err := net.DialTimeout("tcp", arg(args, 0), 5*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = io.Copy(os.Stdout, c)
		return err
	case "forbidden":
		// Attempts that Docker's default refuses; prints what was allowed.
		attempt := func(name string, err error) {
			if err == nil {
				fmt.Println("allowed", name)
			}
		}
		attempt("unshare", syscall.Unshare(syscall.CLONE_NEWNS))
		attempt("mount", syscall.Mount("tmpfs", "/tmp", "tmpfs", 0, ""))
		attempt("sethostname", syscall.Sethostname([]byte("evil")))
		if err := syscall.Mknod("/tmp/disk", syscall.S_IFBLK|0o600, 254<<8); err == nil {
			f, err := os.Open("/tmp/disk")
			attempt("open a block device", err)
			if err == nil {
				f.Close()
			}
		}
		attempt("write /proc/sys", os.WriteFile("/proc/sys/kernel/domainname", []byte("x"), 0))
		attempt("read /proc/kcore", func() error {
			b, err := os.ReadFile("/proc/keys")
			if err == nil && len(b) == 0 {
				return errors.New("masked")
			}
			return err
		}())
	default:
		return fmt.Errorf("unknown verb %q", verb)
	}
	return nil
}
