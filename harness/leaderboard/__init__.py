"""Submissions and boards (protocol, section 8): a submission carries its transcripts, and every score is recomputed from them.

types      what the files of a submission and a board hold; the JSON schema is made from it
safefiles  reads a stranger's folder: plain files only, capped sizes, no archive bomb
ranks      dialogues without their texts: where the targets stood, which is all that ranking metrics need
scores     from dialogues to a submission's results
prepare    from run directories to submissions
contents, dialogues, replay    what is checked of a submission; `validate` is all of it
boards     rows, ranks and marks of a board; `markdown` and `page` show them
"""
