package scs

var DecodeGob = decodeGob
