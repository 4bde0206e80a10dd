"""Work that outlives its request: exports, the downloads of what they published, and jobs of several requests for answers.

- `exports`: the jobs, from the request that asks for one to the folder that it leaves. Start reading there.
- `attempt`: one attempt at an export: the work between a job's two records.
- `live`: the running attempt, within its time, until it is done or broken off.
- `recording`: the two records, offered to the journal until it takes them.
- `settling`: a job's row brought to the state that its second record says.
- `process`: the exporter's process and the lines that it speaks.
- `folders`: where exports are staged and published, and whether there is room.
- `downloads`: handing a file out, byte for byte counted; `published`: whose it is, its bytes, and all files as one tar stream.
- `facts`: what the records of exports and downloads state.
- `work`: jobs of requests, from the one that asks for a job to the answers that it leaves; `asking` is one attempt at them.
- `batch_lines`: files of requests and of answers; `kept`: keeping files. `work_errors`: what stops either.
"""
