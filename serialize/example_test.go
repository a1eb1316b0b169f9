package serialize_test

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/bulla-go/bulla/serialize"
)

type cart struct {
	Items []string `json:"items"`
	Cents int64    `json:"cents"`
}

func Example() {
	data, err := serialize.JSON.Marshal(&cart{[]string{"tea"}, 450})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(data))

	var c cart
	if err := serialize.JSON.Unmarshal(data, &c); err != nil {
		panic(err)
	}
	fmt.Println(c.Items, c.Cents)
	// Output:
	// {"items":["tea"],"cents":450}
	// [tea] 450
}

// Errors name the type and never the content.
func Example_errors() {
	var n int
	err := serialize.JSON.Unmarshal([]byte(`"secret"`), &n)
	fmt.Println(err)
	fmt.Println(errors.Is(err, serialize.ErrDecode))
	// Output:
	// serialize: value does not decode as JSON: *int: a *json.UnmarshalTypeError
	// true
}

// CBOR keeps more types inside an any than JSON does.
func Example_types() {
	for _, s := range []serialize.Serializer{serialize.JSON, serialize.CBOR} {
		data, err := s.Marshal(&map[string]any{"n": 1, "bytes": []byte("x")})
		if err != nil {
			panic(err)
		}
		var m map[string]any
		if err := s.Unmarshal(data, &m); err != nil {
			panic(err)
		}
		fmt.Printf("%T %T\n", m["n"], m["bytes"])
	}
	// Output:
	// float64 string
	// int64 []uint8
}

func ExampleFunc() {
	decimal, err := serialize.Func(
		func(v any) ([]byte, error) {
			n, ok := v.(*int)
			if !ok {
				return nil, errors.New("only int")
			}
			return strconv.AppendInt(nil, int64(*n), 10), nil
		},
		func(data []byte, v any) (err error) {
			n, ok := v.(*int)
			if !ok {
				return errors.New("only int")
			}
			*n, err = strconv.Atoi(string(data))
			return err
		},
	)
	if err != nil {
		panic(err)
	}
	data, err := decimal.Marshal(new(42))
	fmt.Println(string(data), err)
	// Output: 42 <nil>
}
