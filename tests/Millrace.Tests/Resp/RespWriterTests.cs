using System.Buffers;
using System.Text;
using Millrace.Resp;

namespace Millrace.Tests.Resp;

public sealed class RespWriterTests
{
    private delegate void Write(RespWriter writer);

    [Fact]
    public void Command_is_an_array_of_bulk_strings()
    {
        Assert.Equal("*4\r\n$4\r\nXADD\r\n$2\r\n\u00e9\r\n$0\r\n\r\n$20\r\n-9223372036854775808\r\n", Wire(2, writer =>
        {
            writer.WriteArray(4);
            writer.WriteBulk("XADD"u8);
            writer.WriteBulk("\u00e9");
            writer.WriteBulk(""u8);
            writer.WriteBulk(long.MinValue);
        }));
    }

    [Theory]
    [InlineData(2, "*4\r\n*2\r\n*1\r\n*3\r\n:-5\r\n$-1\r\n*-1\r\n:1\r\n:0\r\n$3\r\n1.5\r\n$4\r\n-inf\r\n")]
    [InlineData(3, "%2\r\n~2\r\n>1\r\n*3\r\n:-5\r\n_\r\n_\r\n#t\r\n#f\r\n,1.5\r\n,-inf\r\n")]
    public void Reply_types_follow_the_version(int version, string expected)
    {
        Assert.Equal(expected, Wire(version, writer =>
        {
            writer.WriteMap(2);
            writer.WriteSet(2);
            writer.WritePush(1);
            writer.WriteArray(3);
            writer.WriteInteger(-5);
            writer.WriteNull();
            writer.WriteNullArray();
            writer.WriteBoolean(true);
            writer.WriteBoolean(false);
            writer.WriteDouble(1.5);
            writer.WriteDouble(double.NegativeInfinity);
        }));
    }

    [Fact]
    public void Lines_never_carry_a_line_break()
    {
        Assert.Equal("+a  +b c\r\n-ERR x  :1\r\n", Wire(3, writer =>
        {
            writer.WriteSimple("a\r\n+b\0c");
            writer.WriteError("ERR x\r\n:1");
        }));
    }

    [Theory]
    [InlineData(double.MaxValue)]
    [InlineData(double.Epsilon)]
    [InlineData(-0.1)]
    [InlineData(1e22)]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void Double_written_reads_back_as_the_same_value(double value)
    {
        var reader = new RespReader(Encoding.UTF8.GetBytes(Wire(3, writer => writer.WriteDouble(value))));

        Assert.True(reader.TryRead());
        Assert.Equal(value, reader.GetDouble());
    }

    private static string Wire(int version, Write write)
    {
        var output = new ArrayBufferWriter<byte>();
        write(new RespWriter(output, version));
        return Encoding.UTF8.GetString(output.WrittenSpan);
    }
}
