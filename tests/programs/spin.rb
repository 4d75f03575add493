# SPDX-License-Identifier: Apache-2.0
# Burns CPU in one method, through a C function (each) and blocks.
def work
  (1..1000).each { |number| number.to_s.hash }
end

loop { work }
