//go:build linux

package broker_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// call is one system call of a traced program.
type call struct {
	nr   uint64
	args [6]uint64
	// entered is true before the kernel does anything, false when it is done; then result is what it returned.
	entered bool
	result  int64
}

// tracer runs a program and sees every system call of all its threads before and after the kernel does it, in an order that
// no thread can outrun: a thread that was seen goes on only when see has returned. It needs no tool and no rights: a
// parent may trace its child (ptrace(2)).
type tracer struct {
	see func(t *tracer, thread int, c call)
	pid int
	mem *os.File
}

// numbers of ptrace(2) that package syscall lacks.
const (
	ptraceGetSyscallInfo = 0x420e
	ptraceExitKill       = 0x100000
	syscallStop          = syscall.SIGTRAP | 0x80
)

// run starts the program and returns when it has ended. started is told whether it could be traced.
func (t *tracer) run(path string, args []string, attr *os.ProcAttr, started func(error)) error {
	runtime.LockOSThread() // a tracer is a thread
	defer runtime.UnlockOSThread()
	attr.Sys = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	p, err := os.StartProcess(path, args, attr)
	if err == nil {
		t.pid = p.Pid
		err = errors.Join(p.Release(), t.attach())
	}
	started(err)
	if err != nil {
		return err
	}
	defer func() { _ = t.mem.Close() }()
	return t.loop()
}

// attach takes the program at its first stop, before it has done anything.
func (t *tracer) attach() (err error) {
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(t.pid, &status, syscall.WALL, nil); err != nil {
		return fmt.Errorf("waiting for the program's first stop: %w", err)
	}
	if t.mem, err = os.Open(fmt.Sprintf("/proc/%d/mem", t.pid)); err != nil {
		return err
	}
	if err := syscall.PtraceSetOptions(t.pid, syscall.PTRACE_O_TRACESYSGOOD|syscall.PTRACE_O_TRACECLONE|ptraceExitKill); err != nil {
		return fmt.Errorf("setting the tracer's options: %w", err)
	}
	return syscall.PtraceSyscall(t.pid, 0)
}

func (t *tracer) loop() error {
	entered := map[int]call{}
	known := map[int]bool{t.pid: true}
	for {
		var status syscall.WaitStatus
		thread, err := syscall.Wait4(-1, &status, syscall.WALL|syscall.WNOTHREAD, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("waiting for a stop: %w", err)
		}
		if !status.Stopped() {
			if thread == t.pid {
				return nil
			}
			continue
		}
		deliver := 0
		switch signal := status.StopSignal(); {
		case signal == syscallStop:
			if err := t.stopped(thread, entered); err != nil {
				return err
			}
		case signal == syscall.SIGTRAP, signal == syscall.SIGSTOP && !known[thread]: // a thread is born
		default:
			deliver = int(signal)
		}
		known[thread] = true
		if err := syscall.PtraceSyscall(thread, deliver); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("letting a thread go on: %w", err)
		}
	}
}

// stopped reads what a thread that stopped at a system call is about.
func (t *tracer) stopped(thread int, entered map[int]call) error {
	var info struct { // struct ptrace_syscall_info: the same on every architecture
		op     uint8
		_      [3]uint8
		_      uint32
		_, _   uint64
		number uint64 // the result, on leaving
		args   [6]uint64
	}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, ptraceGetSyscallInfo, uintptr(thread), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno == syscall.ESRCH {
		return nil // killed meanwhile
	}
	if errno != 0 {
		return fmt.Errorf("reading a system call (PTRACE_GET_SYSCALL_INFO, Linux 5.3): %w", errno)
	}
	const entry, exit = 1, 2
	switch info.op {
	case entry:
		c := call{nr: info.number, args: info.args, entered: true}
		entered[thread] = c
		t.see(t, thread, c)
	case exit:
		c := entered[thread]
		c.entered, c.result = false, int64(info.number) //nolint:gosec // the kernel's signed result
		t.see(t, thread, c)
	}
	return nil
}

// target is what a file descriptor of the program stands for.
func (t *tracer) target(fd uint64) string {
	target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", t.pid, fd))
	if err != nil {
		return ""
	}
	return target
}

// data reads memory of the program.
func (t *tracer) data(address, length uint64) []byte {
	buffer := make([]byte, min(length, 4<<20))
	n, err := t.mem.ReadAt(buffer, int64(address)) //nolint:gosec // an address
	if err != nil {
		return nil
	}
	return buffer[:n]
}

// written is what a system call of the kind of write(2) is about to write; nil for others.
func (t *tracer) written(c call) []byte {
	switch c.nr {
	case syscall.SYS_WRITE, syscall.SYS_PWRITE64, syscall.SYS_SENDTO:
		return t.data(c.args[1], c.args[2])
	case syscall.SYS_WRITEV:
		var all []byte
		vector := t.data(c.args[1], c.args[2]*16)
		for ; len(vector) >= 16; vector = vector[16:] {
			all = append(all, t.data(native.Uint64(vector), native.Uint64(vector[8:]))...)
		}
		return all
	}
	return nil
}
