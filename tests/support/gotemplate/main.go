// Judges templates: one JSON object a line in, {"t": template, "v": value}, and one out for each,
// {"out": what text/template makes of it, "err": what it says is wrong}. The functions beside Go's own
// are those of docker's command line.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"
	"text/template"
)

func toJSON(v interface{}) string {
	buf := &bytes.Buffer{}
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSpace(buf.String())
}

func join(elems interface{}, sep string) (string, error) {
	if elems == nil {
		return "", nil
	}
	value := reflect.ValueOf(elems)
	var out []string
	switch value.Kind() {
	case reflect.Slice:
		for i := 0; i < value.Len(); i++ {
			out = append(out, fmt.Sprint(value.Index(i).Interface()))
		}
	case reflect.Map:
		for _, key := range value.MapKeys() {
			out = append(out, fmt.Sprint(value.MapIndex(key).Interface()))
		}
		sort.Strings(out)
	default:
		return "", fmt.Errorf("expected slice, got %T", elems)
	}
	return strings.Join(out, sep), nil
}

func pad(source string, prefix, suffix int) string {
	if source == "" {
		return source
	}
	return strings.Repeat(" ", prefix) + source + strings.Repeat(" ", suffix)
}

func truncate(source string, length int) string {
	if len(source) < length {
		return source
	}
	return source[:length]
}

var functions = template.FuncMap{
	"json":     toJSON,
	"split":    strings.Split,
	"join":     join,
	"title":    strings.Title,
	"lower":    strings.ToLower,
	"upper":    strings.ToUpper,
	"pad":      pad,
	"truncate": truncate,
}

// whole numbers as int, as in the structs that docker has, not float64
func numbers(v interface{}) interface{} {
	switch value := v.(type) {
	case json.Number:
		if whole, err := value.Int64(); err == nil {
			return int(whole)
		}
		float, _ := value.Float64()
		return float
	case []interface{}:
		made := make([]interface{}, len(value))
		for i, item := range value {
			made[i] = numbers(item)
		}
		return made
	case map[string]interface{}:
		for key, item := range value {
			value[key] = numbers(item)
		}
	}
	return v
}

func judge(text string, value interface{}) (out string, problem string) {
	parsed, err := template.New("").Funcs(functions).Parse(text)
	if err != nil {
		return "", err.Error()
	}
	buffer := &bytes.Buffer{}
	if err := parsed.Execute(buffer, value); err != nil {
		return buffer.String(), err.Error()
	}
	return buffer.String(), ""
}

func main() {
	scanner := bufio.NewScanner(os.Stdin)
	scanner.Buffer(nil, 1<<26)
	writer := bufio.NewWriter(os.Stdout)
	defer writer.Flush()
	for scanner.Scan() {
		var asked struct {
			T string      `json:"t"`
			V interface{} `json:"v"`
		}
		decoder := json.NewDecoder(bytes.NewReader(scanner.Bytes()))
		decoder.UseNumber()
		if err := decoder.Decode(&asked); err != nil {
			panic(err)
		}
		out, problem := judge(asked.T, numbers(asked.V))
		fmt.Fprintln(writer, toJSON(map[string]string{"out": out, "err": problem}))
	}
}
