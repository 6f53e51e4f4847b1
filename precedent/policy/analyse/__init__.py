"""What the rules of a policy can do on any input, asked of a solver: dead rules, gaps, invariants, how two versions differ.

Never imported where decisions are made: it needs the extra `analyse`. Three promises:

- The model may only say too much. Whatever isn't translated becomes a value that is free, so that "this can't happen" holds of
  the real evaluator as well; and what wasn't translated is named.
- Every witness is put to the real evaluator before it is told.
- A question that the solver didn't answer in its time is open, and never counts as answered well.
"""
