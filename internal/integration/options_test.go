package integration_test

import (
	"go/ast"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bulla-go/bulla/middleware"
	"github.com/bulla-go/bulla/stores/firestorestore"
	"github.com/bulla-go/bulla/stores/memstore"
	"github.com/bulla-go/bulla/stores/redisstore"
)

// An option has no target that anybody outside could hold, so it can't be applied
// to what is running already.
func TestOptionsApplyOnlyInConstructors(t *testing.T) {
	for _, option := range []reflect.Type{
		reflect.TypeFor[middleware.Option](),
		reflect.TypeFor[memstore.Option](),
		reflect.TypeFor[redisstore.Option](),
		reflect.TypeFor[firestorestore.Option](),
	} {
		require.Equal(t, 1, option.NumIn(), option)
		require.False(t, ast.IsExported(option.In(0).Elem().Name()), "%v takes %v", option, option.In(0))
	}
}
