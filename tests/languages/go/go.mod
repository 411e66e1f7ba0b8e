module faulty

go 1.24

require unspool v0.0.0

replace unspool => ../../../plugin-sdk/go
