package encrypttest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/bulla-go/bulla/encrypt"
	"github.com/stretchr/testify/require"
)

func newRing(t testing.TB) *encrypt.Keyring {
	t.Helper()
	ring, err := encrypt.NewAESGCM(encrypt.GenerateKey())
	require.NoError(t, err)
	return ring
}

func TestRunPasses(t *testing.T) {
	Run(t, func() encrypt.Encryptor { return newRing(t) })
}

// signing returns an Encryptor that keeps every other rule: the plaintext, xored with
// mask, lies beside a good ciphertext of its hash.
func signing(good *encrypt.Keyring, mask string) faulty {
	masked := func(in []byte) []byte {
		out := bytes.Clone(in)
		for i := range out {
			if mask != "" {
				out[i] ^= mask[i%len(mask)]
			}
		}
		return out
	}
	const tag = 6 + 12 + sha256.Size + 16
	return faulty{
		func(dst, in, b []byte) ([]byte, error) {
			sum := sha256.Sum256(in)
			out, err := good.Encrypt(dst, sum[:], b)
			if err != nil {
				return nil, err
			}
			return append(out, masked(in)...), nil
		},
		func(dst, in, b []byte) ([]byte, error) {
			sum, err := good.Decrypt(nil, in[:min(len(in), tag)], b)
			if err != nil {
				return nil, err
			}
			plain := masked(in[tag:])
			if want := sha256.Sum256(plain); !bytes.Equal(sum, want[:]) {
				return nil, encrypt.ErrTampered
			}
			return append(dst, plain...), nil
		},
	}
}

type operation = func(dst, in, binding []byte) ([]byte, error)

// faulty is a good Encryptor with one fault.
type faulty struct{ encrypt, decrypt operation }

func (f faulty) Encrypt(dst, plaintext, binding []byte) ([]byte, error) {
	return f.encrypt(dst, plaintext, binding)
}

func (f faulty) Decrypt(dst, ciphertext, binding []byte) ([]byte, error) {
	return f.decrypt(dst, ciphertext, binding)
}

// Every rule finds an Encryptor that breaks it.
func TestRulesFindFaults(t *testing.T) {
	var (
		mu       sync.Mutex
		kept     []byte
		sealedBy = make(map[string][]byte)
	)
	found := make(map[string]bool)
	for _, test := range []struct {
		fault string
		rule  string
		make  func(good *encrypt.Keyring) faulty
	}{
		{"Encrypt ignores dst", "1 appends to dst", func(good *encrypt.Keyring) faulty {
			return faulty{func(_, in, b []byte) ([]byte, error) { return good.Encrypt(nil, in, b) }, good.Decrypt}
		}},
		{"Decrypt ignores dst", "1 appends to dst", func(good *encrypt.Keyring) faulty {
			return faulty{good.Encrypt, func(_, in, b []byte) ([]byte, error) { return good.Decrypt(nil, in, b) }}
		}},
		{"Decrypt returns dst beside an error", "1 returns nil on an error", func(good *encrypt.Keyring) faulty {
			return faulty{good.Encrypt, func(dst, in, b []byte) ([]byte, error) {
				if out, err := good.Decrypt(dst, in, b); err == nil {
					return out, nil
				} else {
					return dst, err
				}
			}}
		}},
		{"an empty plaintext can't be sealed", "2 opens what it sealed", func(good *encrypt.Keyring) faulty {
			return faulty{func(dst, in, b []byte) ([]byte, error) {
				if len(in) == 0 {
					return nil, errors.New("nothing to seal")
				}
				return good.Encrypt(dst, in, b)
			}, good.Decrypt}
		}},
		{"the binding is ignored", "2 refuses another binding", func(good *encrypt.Keyring) faulty {
			fixed := func(op operation) operation {
				return func(dst, in, b []byte) ([]byte, error) {
					if len(b) == 0 {
						return nil, encrypt.ErrNoBinding
					}
					return op(dst, in, []byte("fixed"))
				}
			}
			return faulty{fixed(good.Encrypt), fixed(good.Decrypt)}
		}},
		{"the binding's end is ignored", "2 refuses another binding", func(good *encrypt.Keyring) faulty {
			cut := func(op operation) operation {
				return func(dst, in, b []byte) ([]byte, error) { return op(dst, in, b[:min(len(b), 16)]) }
			}
			return faulty{cut(good.Encrypt), cut(good.Decrypt)}
		}},
		{"one byte is not authenticated", "2 refuses every changed bit", func(good *encrypt.Keyring) faulty {
			return faulty{
				func(dst, in, b []byte) ([]byte, error) {
					out, err := good.Encrypt(dst, in, b)
					return append(out, 0), err
				},
				func(dst, in, b []byte) ([]byte, error) {
					if len(in) == 0 {
						return nil, encrypt.ErrMalformed
					}
					return good.Decrypt(dst, in[:len(in)-1], b)
				},
			}
		}},
		{"trailing bytes are ignored", "3 refuses every truncation and extension", func(good *encrypt.Keyring) faulty {
			plain, _ := arguments()
			size := 6 + 12 + len(plain) + 16
			return faulty{good.Encrypt, func(dst, in, b []byte) ([]byte, error) {
				return good.Decrypt(dst, in[:min(len(in), size)], b)
			}}
		}},
		{"an error wraps no sentinel", "3 refuses random bytes", func(good *encrypt.Keyring) faulty {
			return faulty{good.Encrypt, func(dst, in, b []byte) ([]byte, error) {
				out, err := good.Decrypt(dst, in, b)
				if errors.Is(err, encrypt.ErrMalformed) {
					err = errors.New("no good")
				}
				return out, err
			}}
		}},
		{"an empty binding is taken", "4 refuses an empty binding", func(good *encrypt.Keyring) faulty {
			or := func(op operation) operation {
				return func(dst, in, b []byte) ([]byte, error) { return op(dst, in, append([]byte("x"), b...)) }
			}
			return faulty{or(good.Encrypt), or(good.Decrypt)}
		}},
		{"a ciphertext is made twice", "5 never makes the same ciphertext twice", func(good *encrypt.Keyring) faulty {
			return faulty{func(dst, in, b []byte) ([]byte, error) {
				mu.Lock()
				defer mu.Unlock()
				name := string(in) + "\x00" + string(b)
				if sealedBy[name] == nil {
					sealedBy[name], _ = good.Encrypt(nil, in, b)
				}
				return append(dst, sealedBy[name]...), nil
			}, good.Decrypt}
		}},
		{"it only signs", "5 hides the plaintext", func(good *encrypt.Keyring) faulty { return signing(good, "") }},
		{"it only signs, in base64", "5 hides the plaintext", func(good *encrypt.Keyring) faulty {
			inner := signing(good, "")
			return faulty{
				func(dst, in, b []byte) ([]byte, error) {
					out, err := inner.Encrypt(nil, in, b)
					return base64.StdEncoding.AppendEncode(dst, out), err
				},
				func(dst, in, b []byte) ([]byte, error) {
					out, err := base64.StdEncoding.Strict().DecodeString(string(in))
					if err != nil {
						return nil, encrypt.ErrMalformed
					}
					return inner.Decrypt(dst, out, b)
				},
			}
		}},
		{"it signs, and mixes in what everybody knows", "5 hides the plaintext", func(good *encrypt.Keyring) faulty { return signing(good, "bulla") }},
		{"it encrypts everything with the same bytes", "5 hides the plaintext", func(good *encrypt.Keyring) faulty {
			stream := make([]byte, 64<<10)
			rand.NewChaCha8([32]byte{}).Read(stream)
			return signing(good, string(stream))
		}},
		{"the plaintext is overwritten", "6 leaves its arguments alone", func(good *encrypt.Keyring) faulty {
			return faulty{func(dst, in, b []byte) ([]byte, error) {
				out, err := good.Encrypt(dst, in, b)
				clear(in)
				return out, err
			}, good.Decrypt}
		}},
		{"the ciphertext is opened in place", "6 leaves its arguments alone", func(good *encrypt.Keyring) faulty {
			return faulty{good.Encrypt, func(dst, in, b []byte) ([]byte, error) {
				out, err := good.Decrypt(dst, in, b)
				if err == nil {
					copy(in, out)
				}
				return out, err
			}}
		}},
		{"bytes behind the binding are overwritten", "6 leaves its arguments alone", func(good *encrypt.Keyring) faulty {
			return faulty{good.Encrypt, func(dst, in, b []byte) ([]byte, error) {
				_ = append(b, 0)
				return good.Decrypt(dst, in, b)
			}}
		}},
		{"Decrypt overwrites dst", "6 leaves its arguments alone", func(good *encrypt.Keyring) faulty {
			return faulty{good.Encrypt, func(dst, in, b []byte) ([]byte, error) {
				out, err := good.Decrypt(bytes.Clone(dst), in, b)
				clear(dst)
				return out, err
			}}
		}},
		{"Encrypt overwrites dst", "6 leaves its arguments alone", func(good *encrypt.Keyring) faulty {
			return faulty{func(dst, in, b []byte) ([]byte, error) {
				out, err := good.Encrypt(bytes.Clone(dst), in, b)
				clear(dst)
				return out, err
			}, good.Decrypt}
		}},
		{"the result stays in use", "6 keeps no reference", func(good *encrypt.Keyring) faulty {
			return faulty{good.Encrypt, func(dst, in, b []byte) ([]byte, error) {
				out, err := good.Decrypt(dst, in, b)
				if err != nil {
					return nil, err
				}
				if kept == nil {
					kept = out
				}
				return kept, nil
			}}
		}},
		{"one buffer for all goroutines", "7 is safe for concurrent use", func(good *encrypt.Keyring) faulty {
			// A lock around each access, so that the race detector is not
			// needed to see the fault.
			var held []byte
			return faulty{func(dst, in, b []byte) ([]byte, error) {
				mu.Lock()
				held = bytes.Clone(in)
				mu.Unlock()
				runtime.Gosched()
				out, err := good.Encrypt(dst, in, b)
				mu.Lock()
				defer mu.Unlock()
				if !bytes.Equal(held, in) {
					return nil, errors.New("the buffer was overwritten")
				}
				return out, err
			}, good.Decrypt}
		}},
	} {
		t.Run(test.fault, func(t *testing.T) {
			e := test.make(newRing(t))
			for _, r := range rules {
				if r.name != test.rule {
					continue
				}
				found[r.name] = true
				require.NoError(t, r.check(newRing(t)))
				err := r.check(e)
				require.Error(t, err)
				return
			}
			t.Fatalf("there is no rule %q", test.rule)
		})
	}
	for _, r := range rules {
		require.True(t, found[r.name], "no fault tests the rule %q", r.name)
	}
}

// What does not encrypt can keep every rule but the one.
func TestOnlyOneRuleFindsPlaintext(t *testing.T) {
	for _, r := range rules {
		err := r.check(signing(newRing(t), ""))
		require.Equal(t, r.name == "5 hides the plaintext", err != nil, "%s: %v", r.name, err)
	}
}

// A ciphertext may be text.
func TestHexIsHidden(t *testing.T) {
	good := newRing(t)
	require.NoError(t, checkHidden(faulty{encrypt: func(dst, in, b []byte) ([]byte, error) {
		out, err := good.Encrypt(nil, in, b)
		return hex.AppendEncode(dst, out), err
	}}))
}

// faultyBinder breaks what only a Binder can.
type faultyBinder struct {
	*encrypt.Keyring
	bind func(good *encrypt.Keyring, binding []byte) (encrypt.Bound, error)
}

func (f faultyBinder) Bind(binding []byte) (encrypt.Bound, error) {
	return f.bind(f.Keyring, binding)
}

type faultyBound struct {
	seal, open func([]byte) ([]byte, error)
}

func (f faultyBound) Seal(plaintext []byte) ([]byte, error)  { return f.seal(plaintext) }
func (f faultyBound) Open(ciphertext []byte) ([]byte, error) { return f.open(ciphertext) }

func TestBinderFaults(t *testing.T) {
	for name, bind := range map[string]func(good *encrypt.Keyring, binding []byte) (encrypt.Bound, error){
		"binds to nothing": func(good *encrypt.Keyring, binding []byte) (encrypt.Bound, error) {
			return good.Bind(append([]byte{'x'}, binding...))
		},
		"keeps the caller's slice": func(good *encrypt.Keyring, binding []byte) (encrypt.Bound, error) {
			_, err := good.Bind(binding)
			return faultyBound{
				func(in []byte) ([]byte, error) { return good.Encrypt(nil, in, binding) },
				func(in []byte) ([]byte, error) { return good.Decrypt(nil, in, binding) },
			}, err
		},
		"seals over the end of the plaintext": func(good *encrypt.Keyring, binding []byte) (encrypt.Bound, error) {
			bound, err := good.Bind(binding)
			if err != nil {
				return nil, err
			}
			return faultyBound{func(in []byte) ([]byte, error) {
				if cap(in) > len(in)+8 {
					in[len(in)-1] = 'x'
				}
				return bound.Seal(in)
			}, bound.Open}, nil
		},
		"opens what is bound to something else": func(good *encrypt.Keyring, binding []byte) (encrypt.Bound, error) {
			bound, err := good.Bind(binding)
			if err != nil {
				return nil, err
			}
			return faultyBound{bound.Seal, func(in []byte) ([]byte, error) {
				if out, err := bound.Open(bytes.Clone(in)); err == nil {
					return out, nil
				}
				return good.Decrypt(nil, in, []byte("another binding"))
			}}, nil
		},
		"another domain": func(good *encrypt.Keyring, binding []byte) (encrypt.Bound, error) {
			if len(binding) == 0 {
				return nil, encrypt.ErrNoBinding
			}
			return good.Bind(append([]byte("bound "), binding...))
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, checkBinder(faultyBinder{newRing(t), bind}))
		})
	}
	require.NoError(t, checkBinder(newRing(t)))
}

type alwaysRetired struct{ *encrypt.Keyring }

func (alwaysRetired) Retired([]byte) bool { return true }

func TestRotatorFault(t *testing.T) {
	require.Error(t, checkRotator(alwaysRetired{newRing(t)}))
	require.NoError(t, checkRotator(newRing(t)))
}
